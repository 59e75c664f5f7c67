//! The instructions of a Dockerfile that say what containers of an image are: `commit --change`, `import --change`.

use error::{Refused, Result};
use jiff::SignedDuration;
use oci::image::{ContainerConfig, Healthcheck};

/// An instruction and its words, as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    name: String,
    words: String,
}

const HINT: &str =
    "use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR and its words";

impl Instruction {
    /// Reads one.
    ///
    /// # Errors
    /// Refused for one that says nothing of a container, and for one without words.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |reason: &str| Refused::new("--change", text, reason).hint(HINT);
        let (name, words) = text.trim().split_once(char::is_whitespace).ok_or_else(|| refused("has no words"))?;
        let instruction = Self { name: name.to_ascii_uppercase(), words: words.trim().to_owned() };
        instruction.apply(&mut ContainerConfig::default())?;
        Ok(instruction)
    }

    /// Changes what containers of an image are.
    ///
    /// # Errors
    /// Refused for words that the instruction cannot have.
    pub fn apply(&self, config: &mut ContainerConfig) -> Result<()> {
        let words = self.words.as_str();
        match self.name.as_str() {
            "CMD" => config.cmd = self.command(),
            "ENTRYPOINT" => {
                config.entrypoint = self.command();
                // A command is for the entrypoint that it was written for.
                config.cmd.clear();
            }
            "ENV" => {
                for (name, value) in self.pairs()? {
                    config.env.retain(|known| known.split('=').next() != Some(name.as_str()));
                    config.env.push(format!("{name}={value}"));
                }
            }
            "LABEL" => config.labels.extend(self.pairs()?),
            "EXPOSE" => {
                let ports = words.split_whitespace();
                config
                    .exposed_ports
                    .extend(ports.map(|port| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") }));
            }
            "HEALTHCHECK" => config.healthcheck = Some(self.healthcheck()?),
            "ONBUILD" => config.on_build.push(words.to_owned()),
            "STOPSIGNAL" => config.stop_signal = Some(words.to_owned()),
            "USER" => config.user = Some(words.to_owned()),
            "VOLUME" => {
                let list = self.list().unwrap_or_else(|| words.split_whitespace().map(str::to_owned).collect());
                config.volumes.extend(list);
            }
            "WORKDIR" if words.starts_with('/') => config.working_dir = Some(words.to_owned()),
            "WORKDIR" => {
                let above = config.working_dir.clone().unwrap_or_default();
                config.working_dir = Some(format!("{}/{words}", above.trim_end_matches('/')));
            }
            name => {
                let reason = "is no instruction that says what a container is";
                return Err(Refused::new("--change", name, reason).hint(HINT).into());
            }
        }
        Ok(())
    }

    /// `NONE`, or `CMD` and a command after flags like `--interval=5s`.
    fn healthcheck(&self) -> Result<Healthcheck> {
        let refused = |reason: &str| {
            let refused = Refused::new("--change", format!("{} {}", self.name, self.words), reason);
            refused.hint("write HEALTHCHECK NONE, or HEALTHCHECK --interval=5s --retries=3 CMD and a command")
        };
        let mut check = Healthcheck::default();
        let mut rest = self.words.as_str();
        while let Some(flag) = rest.strip_prefix("--") {
            let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
            let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
            let time = || {
                let time = value.parse::<SignedDuration>().ok().and_then(|time| i64::try_from(time.as_nanos()).ok());
                time.filter(|time| *time >= 0).ok_or_else(|| refused(&format!("has no time like 5s as --{name}")))
            };
            match name {
                "interval" => check.interval = time()?,
                "timeout" => check.timeout = time()?,
                "start-period" => check.start_period = time()?,
                "start-interval" => check.start_interval = time()?,
                "retries" => {
                    let number = value.parse().ok().filter(|number| *number >= 0);
                    check.retries = number.ok_or_else(|| refused("has no number as --retries"))?;
                }
                _ => return Err(refused(&format!("has a flag --{name}, which there is not")).into()),
            }
            rest = after.trim_start();
        }
        let (kind, words) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let words = words.trim();
        let listed: Option<Vec<String>> = serde_json::from_str(words).ok();
        check.test = match (kind.to_ascii_uppercase().as_str(), listed) {
            ("NONE", _) if words.is_empty() => vec!["NONE".to_owned()],
            ("CMD", Some(list)) if !list.is_empty() => [vec!["CMD".to_owned()], list].concat(),
            ("CMD", None) if !words.is_empty() => vec!["CMD-SHELL".to_owned(), words.to_owned()],
            _ => return Err(refused("names no command").into()),
        };
        Ok(check)
    }

    /// A list in JSON is the command itself, anything else is for the shell.
    fn command(&self) -> Vec<String> {
        self.list().unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned(), self.words.clone()])
    }

    fn list(&self) -> Option<Vec<String>> {
        serde_json::from_str(&self.words).ok()
    }

    /// `NAME=value` several times, where a value with blanks stands between double quotes; or one `NAME value`.
    fn pairs(&self) -> Result<Vec<(String, String)>> {
        let first = self.words.split_whitespace().next().unwrap_or_default();
        if !first.contains('=') {
            let (name, value) = self.words.split_once(char::is_whitespace).unwrap_or((&self.words, ""));
            return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
        }
        let mut pairs = Vec::new();
        for word in quoted_words(&self.words) {
            match word.split_once('=') {
                Some((name, value)) if !name.is_empty() => pairs.push((name.to_owned(), value.to_owned())),
                _ => {
                    let refused = Refused::new("--change", format!("{} {word}", self.name), "is not NAME=VALUE");
                    return Err(refused.hint("put a value with blanks between double quotes").into());
                }
            }
        }
        Ok(pairs)
    }
}

fn quoted_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '\\' => word.extend(letters.next()),
            letter if letter.is_whitespace() && !is_quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            letter => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_say_what_a_container_is() {
        let mut config =
            ContainerConfig { cmd: vec!["old".into()], env: vec!["A=1".into()], ..ContainerConfig::default() };
        for text in [
            r#"ENTRYPOINT ["/app", "-v"]"#,
            "cmd run it",
            r#"ENV A=2 B="two words" C=x\ y"#,
            "ENV D four five",
            "EXPOSE 80 53/udp",
            "LABEL a=b",
            r#"VOLUME ["/data"]"#,
            "USER anna",
            "WORKDIR /srv",
            "WORKDIR app",
            "STOPSIGNAL INT",
        ] {
            Instruction::parse(text).unwrap().apply(&mut config).unwrap();
        }
        assert_eq!(config.entrypoint, ["/app", "-v"]);
        assert_eq!(config.cmd, ["/bin/sh", "-c", "run it"]);
        assert_eq!(config.env, ["A=2", "B=two words", "C=x y", "D=four five"]);
        assert_eq!(config.exposed_ports.iter().map(String::as_str).collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
        assert_eq!((config.user.as_deref(), config.working_dir.as_deref()), (Some("anna"), Some("/srv/app")));
        assert!(config.volumes.contains("/data") && config.labels["a"] == "b");
        for (text, json) in [
            ("HEALTHCHECK NONE", r#"{"Test":["NONE"]}"#),
            ("HEALTHCHECK CMD test -e /up", r#"{"Test":["CMD-SHELL","test -e /up"]}"#),
            (
                r#"HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD ["up", "-q"]"#,
                r#"{"Test":["CMD","up","-q"],"Interval":90000000000,"Timeout":500000000,"Retries":2}"#,
            ),
        ] {
            Instruction::parse(text).unwrap().apply(&mut config).unwrap();
            assert_eq!(serde_json::to_string(&config.healthcheck).unwrap(), json);
        }
        for bad in [
            "HEALTHCHECK CMD",
            "HEALTHCHECK --interval=x CMD up",
            "HEALTHCHECK --often CMD up",
            "RUN true",
            "CMD",
            "ENV =x",
            "",
        ] {
            let error = Instruction::parse(bad).unwrap_err();
            assert!(error.to_string().starts_with("cannot use --change"), "{error}");
        }
    }
}
