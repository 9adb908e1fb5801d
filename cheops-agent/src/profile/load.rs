//! Profiles from files, each fault at its line; those that are shipped are built in, so that there always is `rest`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::Config;
use crate::config::diagnostic::{Diagnostic, Place, Severity, Source, did_you_mean};

use super::check;
use super::matcher::Profile;
use super::model::{File, Methods};

/// The built-in profiles: name and text.
const BUILT_IN: &[(&str, &str)] = &[
    (DEFAULT, include_str!("../../profiles/rest.toml")),
    ("openstack", include_str!("../../profiles/openstack.toml")),
];

/// The name of the profile of services that name none.
pub const DEFAULT: &str = "rest";

/// All profiles by name.
#[derive(Clone, Debug)]
pub struct Profiles {
    by_name: BTreeMap<String, Arc<Profile>>,
    default: Arc<Profile>,
}

/// Why profiles can't be used: every fault of every file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ProfileError {
    pub findings: Vec<Diagnostic>,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.findings.iter().enumerate() {
            write!(f, "{}{finding}", if index == 0 { "" } else { "\n\n" })?;
        }
        Ok(())
    }
}

impl Profiles {
    /// The built-in profiles alone.
    pub fn built_in() -> Result<Self, ProfileError> {
        Self::load(&[])
    }

    /// The built-in profiles and every `NAME.toml` of these directories; a later directory's takes an earlier one's
    /// place. A directory that doesn't exist holds none.
    ///
    /// # Errors
    /// Every fault of every file that counts, each with file, line and column.
    pub fn load(directories: &[PathBuf]) -> Result<Self, ProfileError> {
        let mut findings = Vec::new();
        let mut sources: BTreeMap<String, Source> = BUILT_IN
            .iter()
            .map(|(name, text)| {
                (name.to_string(), Source { path: format!("<built-in>/{name}.toml").into(), text: text.to_string() })
            })
            .collect();
        for directory in directories {
            match read(directory) {
                Ok(found) => sources.extend(found),
                Err(finding) => findings.push(finding),
            }
        }
        let methods = default_methods()?;
        let mut by_name = BTreeMap::new();
        for (name, source) in sources {
            match parse(&name, source, &methods) {
                Ok(profile) => drop(by_name.insert(name, Arc::new(profile))),
                Err(error) => findings.extend(error.findings),
            }
        }
        match by_name.get(DEFAULT).cloned() {
            Some(default) if findings.is_empty() => Ok(Self { by_name, default }),
            _ => Err(ProfileError { findings }),
        }
    }

    /// [`load`](Self::load) from the configured directories, for the configured services.
    ///
    /// # Errors
    /// Also when a service names a profile that isn't there.
    pub fn for_config(config: &Config) -> Result<Self, ProfileError> {
        let profiles = Self::load(&config.profile_dirs)?;
        let missing = config.services.iter().filter(|service| profiles.get(&service.profile).is_none());
        let findings: Vec<Diagnostic> = missing
            .map(|service| {
                let (name, near) = (&service.profile, did_you_mean(&service.profile, profiles.names()));
                let known = profiles.names().collect::<Vec<_>>().join(", ");
                let near = if near.is_empty() { format!("; there are: {known}") } else { near };
                let message = format!("there is no profile \"{name}\", which the service {} names{near}", service.name);
                Diagnostic { severity: Severity::Error, message, place: None }
            })
            .collect();
        if findings.is_empty() { Ok(profiles) } else { Err(ProfileError { findings }) }
    }

    /// A profile by its name.
    pub fn get(&self, name: &str) -> Option<&Arc<Profile>> {
        self.by_name.get(name)
    }

    /// A profile by its name, else the default.
    pub fn get_or_default(&self, name: &str) -> &Arc<Profile> {
        self.get(name).unwrap_or(&self.default)
    }

    /// The headers in which some profile's tokens carry a scope.
    pub fn scope_headers(&self) -> Vec<String> {
        let headers: BTreeSet<String> =
            self.by_name.values().filter_map(|profile| profile.scope_header()).map(str::to_ascii_lowercase).collect();
        headers.into_iter().collect()
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// One file as a profile; its name is the file's.
pub fn load_file(path: &Path) -> Result<Profile, ProfileError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| ProfileError { findings: vec![unreadable(path, &error)] })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    from_text(&name, path, &text)
}

/// Text as a profile; `path` is what faults are located in.
pub fn from_text(name: &str, path: &Path, text: &str) -> Result<Profile, ProfileError> {
    parse(name, Source { path: path.to_owned(), text: text.to_owned() }, &default_methods()?)
}

fn read(directory: &Path) -> Result<Vec<(String, Source)>, Diagnostic> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(directory, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| unreadable(directory, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, Source { path, text }));
        }
    }
    Ok(found)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic { severity: Severity::Error, message: format!("can't read {}: {error}", path.display()), place: None }
}

/// The methods of the built-in `rest`, which hold where a file has none.
fn default_methods() -> Result<Methods, ProfileError> {
    let (name, text) = BUILT_IN.first().copied().unwrap_or_default();
    let source = Source { path: format!("<built-in>/{name}.toml").into(), text: text.to_owned() };
    Ok(read_file(&Arc::new(source))?.methods.unwrap_or_default())
}

fn parse(name: &str, source: Source, methods: &Methods) -> Result<Profile, ProfileError> {
    let source = Arc::new(source);
    let file = read_file(&source)?;
    let methods = file.methods.clone().unwrap_or_else(|| methods.clone());
    Ok(Profile::compile(name.to_owned(), file, &methods))
}

fn read_file(source: &Arc<Source>) -> Result<File, ProfileError> {
    let finding = |message: String, span: Option<std::ops::Range<usize>>| Diagnostic {
        severity: Severity::Error,
        message,
        place: span.map(|span| Place { source: source.clone(), span }),
    };
    let file: File = toml::from_str(&source.text).map_err(|error| {
        let message = explained(error.message());
        ProfileError { findings: vec![finding(message, Some(error.span().unwrap_or(0..0)))] }
    })?;
    let findings: Vec<_> =
        check::faults(&file).into_iter().map(|(message, span)| finding(message, Some(span))).collect();
    if findings.is_empty() { Ok(file) } else { Err(ProfileError { findings }) }
}

/// serde's message, with the nearest of the words that it expected.
fn explained(message: &str) -> String {
    let quoted = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let Some((head, tail)) = message.split_once(", expected ") else { return message.to_owned() };
    let unknown = head.starts_with("unknown field") || head.starts_with("unknown variant");
    let (Some(written), true) = (quoted(head).into_iter().next(), unknown) else { return message.to_owned() };
    let expected = quoted(tail);
    let near = did_you_mean(&written, expected.iter().map(String::as_str));
    let what = if head.starts_with("unknown field") { "unknown key" } else { "unknown word" };
    match near.is_empty() {
        false => format!("{what} \"{written}\"{near}"),
        true => format!("{what} \"{written}\"; known here: {}", expected.join(", ")),
    }
}
