//! `explain run`: the plan, printed, with nothing done. It is computed by the code that `run` applies, so it cannot lie.

use std::process::ExitCode;

use engine::containers::Engine;
use engine::launch::Names;
use engine::options::RunOptions;
use engine::record::short;
use error::Result;
use runtime::explain::Explained;

use crate::report;

/// How the plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `carboy explain run`.
pub(crate) fn run(engine: &Engine, options: &RunOptions, form: Form) -> Result<ExitCode> {
    options.root.check()?;
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
        Form::Text => {
            let id = &launch.record.id;
            report::line(&explained.text().replace(id.as_str(), &format!("{}…", short(id))));
        }
        Form::Json => report::line(&serde_json::to_string_pretty(&explained.document()).unwrap_or_default()),
    }
    Ok(ExitCode::SUCCESS)
}
