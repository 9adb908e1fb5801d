//! What `cheops-agent` does instead of running.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::admin::explain::{self, Live, Question};
use crate::cli::agent::Arguments;
use crate::config::{self, Config};
use crate::kernel;
use crate::metadata::{Aliases, Distances, Names, View, build, guards};
use crate::observe::Grade;
use crate::plan::World;
use crate::profile::Profiles;

/// Does it, if something was asked for.
pub fn run(arguments: &Arguments) -> Option<ExitCode> {
    let instead = &arguments.instead;
    let outcome = if instead.help_config {
        print(&config::help::text())
    } else if instead.check_config {
        check_config(arguments)
    } else if instead.check {
        check(arguments)
    } else if let Some(words) = &instead.explain {
        explain(arguments, words)
    } else if instead.dump_maps {
        dump_maps(arguments)
    } else if instead.detach {
        detach(arguments)
    } else {
        return None;
    };
    Some(outcome.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    }))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn load(arguments: &Arguments) -> anyhow::Result<Config> {
    Ok(config::load(&arguments.config)?.config)
}

fn check_config(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&arguments.config)?;
    for warning in &loaded.warnings {
        eprintln!("{warning}\n");
    }
    Profiles::for_config(&loaded.config)?;
    let files: Vec<String> = loaded.files.iter().map(|file| file.display().to_string()).collect();
    print(&format!("valid: {}", files.join(", ")))
}

fn check(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let checks = crate::cli::check::preflight::checks(&arguments.config);
    let output = crate::cli::Output::new(crate::cli::Format::Table);
    let document = serde_json::to_value(&checks)?;
    let lines = document.as_array().map(|checks| crate::cli::check::text(checks, output)).unwrap_or_default();
    print(&lines)?;
    let failed = checks.iter().any(|check| check.grade == Grade::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn explain(arguments: &Arguments, words: &[String]) -> anyhow::Result<ExitCode> {
    let config = load(arguments)?;
    let profiles = Profiles::for_config(&config)?;
    let (Some(method), Some(url)) = (words.first(), words.get(1)) else { anyhow::bail!("METHOD and URL are needed") };
    let question =
        Question { method: method.clone(), url: url.clone(), scope: words.get(2).cloned(), headers: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (names, addresses) = runtime.block_on(async {
        let mut names = Names::default();
        names.refresh(&config, &View::default()).await;
        anyhow::Ok((names, explain::resolve(&question.url).await?))
    })?;
    let snapshot = build(&config, &names);
    // No other site is asked here, so no distance is known.
    let (carriers, here, distances) = (&config.scope, &config.site, Distances::default());
    let world = World { snapshot: &snapshot, distances: &distances, profiles: &profiles, carriers, here };
    // Nothing is under way here.
    let guarded = guards(&snapshot, &Aliases::default());
    let live = Live { links: &|_, _| Ok(None), credential: &|_, _| None };
    let answer = explain::explain(&question, &addresses, &world, &guarded, &live)?;
    let refused = answer.contains_key("problem");
    print(&crate::cli::explain::text(&serde_json::Value::Object(answer)))?;
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn dump_maps(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let maps = kernel::dump_maps(&load(arguments)?).context("can't read the maps")?;
    print(&serde_json::to_string_pretty(&maps)?)
}

fn detach(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let gone = kernel::detach(&load(arguments)?).context("can't detach")?;
    print(&if gone.is_empty() { "nothing was attached".to_owned() } else { gone.join("\n") })
}
