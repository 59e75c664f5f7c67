//! `explain run`: the plan, printed, with nothing done. It is computed by the code that `run` applies, so it cannot lie.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::launch::Names;
use engine::options::RunOptions;
use engine::record::short;
use error::Result;
use runtime::explain::{Explained, Told};

use crate::report;

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For people who learn it.
    Lessons,
    /// For programs.
    Json,
}

/// `carboy explain run`.
pub(crate) fn run(engine: &Engine, options: &RunOptions, form: Form) -> Result<ExitCode> {
    let launch = engine.launch(options, &Names::new(options)?)?;
    let arena = bumpalo::Bump::new();
    let plan = launch.plan(&arena)?;
    let explained = Explained {
        config: &launch.record.config,
        hierarchies: &launch.facts.hierarchies,
        plan: &plan,
        root: &launch.root.describe(),
        filter: launch.filter.as_ref(),
        calls_allowed: launch.calls_allowed,
    };
    match form {
        Form::Text | Form::Lessons => {
            let id = &launch.record.id;
            let told = if form == Form::Text { Told::Steps } else { Told::Lessons };
            let text = explained.text(told).replace(id.as_str(), &format!("{}…", short(id)));
            report::line(&if form == Form::Text { text } else { wrapped(&text) });
        }
        Form::Json => report::line(&serde_json::to_string_pretty(&explained.document()).unwrap_or_default()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Lessons in lines that can be read, below the steps that they are about.
fn wrapped(text: &str) -> String {
    let lines = text.lines().flat_map(|line| match line.strip_prefix(LESSON) {
        Some(lesson) => report::wrapped(lesson, LESSON),
        None => vec![line.to_owned()],
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What a lesson begins with.
const LESSON: &str = "          ";
