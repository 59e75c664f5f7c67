//! `ps`: the processes of a container.

use std::process::Command;

use error::{Doing, Refused, Result};
use serde_json::json;

use crate::arguments::Invocation;
use crate::container;
use crate::list::Form;
use crate::report;
use crate::store::Store;

/// `ps`: the PIDs as JSON, or the lines that the host's ps has for them.
///
/// # Errors
/// Refused where there is none; a kernel error.
pub(crate) fn ps(store: &Store, invocation: &Invocation) -> Result<()> {
    let form = Form::of(invocation)?;
    let record = store.record(invocation.id()?)?;
    let groups = container::groups(&record)?;
    let pids: Vec<i32> = groups.processes()?.iter().map(|pid| pid.as_raw_nonzero().get()).collect();
    if form == Form::Json {
        return report::line(&json!(pids).to_string());
    }
    let asked: Vec<&str> = invocation.words.iter().skip(1).map(String::as_str).collect();
    let options = if asked.is_empty() { vec!["-ef"] } else { asked };
    let output = Command::new("ps").args(&options).output().doing(|| "run the host's ps")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = format!("is not what the host's ps takes: {}", said.lines().next().unwrap_or_default());
        return Err(Refused::new("the options", options.join(" "), reason).into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let Some(heading) = lines.next() else { return Ok(()) };
    let Some(column) = heading.split_whitespace().position(|name| name == "PID") else {
        return Err(Refused::new("ps", "", "shows no column PID").into());
    };
    report::line(heading)?;
    let of_container = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|pid| pid.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    lines.filter(of_container).try_for_each(report::line)
}
