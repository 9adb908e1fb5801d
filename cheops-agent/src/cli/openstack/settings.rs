//! Where a cloud's credentials stand, found as os-client-config finds them: `clouds.yaml` and `secure.yaml`, or `OS_*` of
//! an openrc.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::diagnostic::did_you_mean;

/// More than any `clouds.yaml` has.
const LONGEST: u64 = 1 << 20;

/// What the clouds' files may end in, in the order in which they are tried.
const SUFFIXES: [&str; 3] = ["yaml", "yml", "json"];

/// The name of the cloud that `OS_*` variables describe.
const OF_VARIABLES: &str = "envvars";

/// What the process was started with, as far as it says where clouds are.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Where files are looked for, in this order.
    directories: Vec<PathBuf>,
}

/// The sections of a file, by their clouds' names.
type Clouds = serde_json::Map<String, Value>;

/// One cloud: what its section of `clouds.yaml`, or the `OS_*` variables, say. Never printed.
#[derive(Clone)]
pub struct Cloud {
    pub name: String,
    settings: BTreeMap<String, String>,
    /// The variables that name a proxy, as `requests` reads them.
    proxies: Vec<&'static str>,
}

/// By the scheme of what is asked for; `requests` reads the lower case first.
const PROXIES: [&str; 6] = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cloud({}: {})", self.name, self.settings.keys().map(String::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("no cloud is named: give --cloud NAME, set OS_CLOUD, or source an openrc that sets OS_AUTH_URL")]
    NoCloud,
    #[error("the cloud \"{name}\" stands in a clouds.yaml, and there is none; looked in {looked}")]
    NoFile { name: String, looked: String },
    #[error("{} has no cloud \"{name}\"{known}", .path.display())]
    Unknown { path: PathBuf, name: String, known: String },
    #[error(
        "the cloud \"{cloud}\" is of the vendor \"{profile}\", whom no clouds-public.yaml describes: write its auth_url \
         and region_name into clouds.yaml itself"
    )]
    Vendor { cloud: String, profile: String },
    #[error("can't read {}: {source}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    /// What stands there is not shown: it may be a password.
    #[error("{}:{line}:{column}: this is not well-formed YAML", .path.display())]
    Yaml { path: PathBuf, line: u64, column: u64 },
}

impl Environment {
    /// This process's own.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let of = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let home = of("HOME").map(|home| Path::new(home).join(".config"));
        let mut directories: Vec<PathBuf> = std::env::current_dir().into_iter().collect();
        let below = of("XDG_CONFIG_HOME").map(PathBuf::from).into_iter().chain(home);
        let site = of("XDG_CONFIG_DIRS").map_or("/etc/xdg", String::as_str).split(':').map(PathBuf::from);
        directories.extend(below.chain(site).map(|directory| directory.join("openstack")));
        directories.push("/etc/openstack".into());
        Self { variables, directories }
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether a cloud is meant without `--cloud`.
    pub fn names_a_cloud(&self) -> bool {
        self.get("OS_CLOUD").or_else(|| self.get("OS_AUTH_URL")).is_some()
    }

    /// The cloud of that name; without one that of `OS_CLOUD`, of the other variables, or the only one of the file.
    ///
    /// # Errors
    /// When there is none, or a file can't be read.
    pub fn cloud(&self, name: Option<&str>) -> Result<Cloud, SettingsError> {
        let Some(name) = name.or_else(|| self.get("OS_CLOUD")) else {
            return match self.get("OS_AUTH_URL") {
                Some(_) => Ok(self.of_variables()),
                None => self.only_one(),
            };
        };
        let Some((path, clouds)) = self.clouds()? else {
            let looked = self.directories.iter().map(|directory| directory.display().to_string());
            return Err(SettingsError::NoFile { name: name.to_owned(), looked: looked.collect::<Vec<_>>().join(", ") });
        };
        match clouds.get(name) {
            Some(section) => self.cloud_of(name, section),
            None if name == OF_VARIABLES && self.names_a_cloud() => Ok(self.of_variables()),
            None => {
                let names = || clouds.keys().map(String::as_str);
                let near = did_you_mean(name, names());
                let all = || format!("; it has: {}", names().collect::<Vec<_>>().join(", "));
                let known = if near.is_empty() { all() } else { near };
                Err(SettingsError::Unknown { path, name: name.to_owned(), known })
            }
        }
    }

    fn only_one(&self) -> Result<Cloud, SettingsError> {
        let (_, clouds) = self.clouds()?.ok_or(SettingsError::NoCloud)?;
        match clouds.iter().next() {
            Some((name, section)) if clouds.len() == 1 => self.cloud_of(name, section),
            _ => Err(SettingsError::NoCloud),
        }
    }

    /// `OS_AUTH_URL` is `auth_url`, and so on.
    fn of_variables(&self) -> Cloud {
        let settings = self.variables.iter().filter_map(|(name, value)| {
            let name = name.strip_prefix("OS_").filter(|_| !value.is_empty())?;
            Some((name.to_ascii_lowercase(), value.clone()))
        });
        Cloud { name: OF_VARIABLES.to_owned(), settings: settings.collect(), proxies: self.proxies() }
    }

    fn proxies(&self) -> Vec<&'static str> {
        PROXIES.into_iter().filter(|name| self.get(name).is_some()).collect()
    }

    /// The file with the clouds and, laid over it, the one with their secrets.
    fn clouds(&self) -> Result<Option<(PathBuf, Clouds)>, SettingsError> {
        let Some((path, mut file)) = self.file("clouds", "OS_CLIENT_CONFIG_FILE")? else { return Ok(None) };
        if let Some((_, secure)) = self.file("secure", "OS_CLIENT_SECURE_FILE")? {
            merge(&mut file, secure);
        }
        let clouds = file.get_mut("clouds").and_then(Value::as_object_mut).map(std::mem::take).unwrap_or_default();
        Ok(Some((path, clouds)))
    }

    /// The first file of that name, wherever one is.
    fn file(&self, name: &str, variable: &str) -> Result<Option<(PathBuf, Value)>, SettingsError> {
        let named = self.get(variable).map(PathBuf::from);
        let usual = SUFFIXES.iter().map(|suffix| format!("{name}.{suffix}"));
        let usual = self.directories.iter().flat_map(|directory| usual.clone().map(|file| directory.join(file)));
        let Some(path) = named.into_iter().chain(usual).find(|path| path.is_file()) else { return Ok(None) };
        let unreadable = |source| SettingsError::Read { path: path.clone(), source };
        let mut text = String::new();
        let file = std::fs::File::open(&path).map_err(unreadable)?;
        file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
        // JSON is YAML.
        let value = serde_saphyr::from_str(&text).map_err(|error| {
            let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
            SettingsError::Yaml { path: path.clone(), line, column }
        })?;
        Ok(Some((path, value)))
    }

    /// What a section of the file says, over what its vendor's says.
    fn cloud_of(&self, name: &str, section: &Value) -> Result<Cloud, SettingsError> {
        let mut whole = Value::Object(serde_json::Map::new());
        let vendor = section.get("profile").or_else(|| section.get("cloud")).and_then(Value::as_str);
        if let Some(profile) = vendor {
            let vendors = self.file("clouds-public", "OS_CLIENT_VENDOR_FILE")?;
            let known = vendors.as_ref().and_then(|(_, file)| file.get("public-clouds")?.get(profile));
            let has_url = section.get("auth").is_some_and(|auth| auth.get("auth_url").is_some());
            match known {
                Some(known) => whole = known.clone(),
                None if has_url => {}
                None => return Err(SettingsError::Vendor { cloud: name.to_owned(), profile: profile.to_owned() }),
            }
        }
        merge(&mut whole, section.clone());
        let mut settings = BTreeMap::new();
        let auth = whole.get("auth").and_then(Value::as_object);
        // What stands in `auth` outranks what stands beside it.
        for (key, value) in auth.into_iter().chain(whole.as_object()).flatten() {
            if let Some(text) = scalar(key, value) {
                settings.entry(key.replace('-', "_")).or_insert(text);
            }
        }
        if let Some(region) = settings.remove("regions") {
            settings.entry("region_name".to_owned()).or_insert(region);
        }
        Ok(Cloud { name: name.to_owned(), settings, proxies: self.proxies() })
    }
}

/// A setting as text; of several regions the only one.
fn scalar(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(regions) if key == "regions" => match regions.as_slice() {
            [one] => scalar("name", one.get("name").unwrap_or(one)),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Lays `over` on `base`, table by table.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (base, over) => *base = over,
    }
}

impl Cloud {
    /// A setting that says something.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of these settings that says something.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether Keystone's certificate may be anybody's.
    pub fn is_insecure(&self) -> bool {
        let is = |name: &str, words: &[&str]| {
            self.get(name).is_some_and(|value| words.contains(&value.to_ascii_lowercase().as_str()))
        };
        is("verify", &["false", "no", "0"]) || is("insecure", &["true", "yes", "1"])
    }

    /// The authority of Keystone's certificate, if it isn't one of the system's.
    pub fn authority(&self) -> Option<PathBuf> {
        self.path("cacert")
    }

    /// The certificate that Keystone is shown, and its key, which may stand in the same file.
    pub fn certificate(&self) -> Option<(PathBuf, PathBuf)> {
        let certificate = self.path("cert")?;
        let key = self.path("key").unwrap_or_else(|| certificate.clone());
        Some((certificate, key))
    }

    /// The variable that names a proxy for such a URL.
    pub fn proxy(&self, scheme: &str) -> Option<&'static str> {
        let is_for = |name: &&&str| [scheme, "all"].iter().any(|of| name.to_ascii_lowercase() == format!("{of}_proxy"));
        self.proxies.iter().find(is_for).copied()
    }

    fn path(&self, setting: &str) -> Option<PathBuf> {
        let path = self.get(setting)?;
        match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
            (Some(below), Some(home)) => Some(Path::new(&home).join(below)),
            _ => Some(path.into()),
        }
    }

    #[cfg(test)]
    pub(super) fn of(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { name: "test".to_owned(), settings: settings.collect(), proxies: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
