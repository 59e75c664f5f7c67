//! What an image's configuration adds to what was asked for: Docker's rules, one for each field.
//!
//! What a flag says holds, the image fills what was not said. A second time it adds nothing.

use std::time::Duration;

use error::{Refused, Result};
use oci::image::{ContainerConfig, Healthcheck as ImageCheck};

use super::{ContainerPath, Fill, Mount, Origin, RunOptions, Signal, Traits, Variable, VolumeMount, VolumeName};
use crate::health::{HealthWish, Healthcheck, Test};
use crate::options::Access;

/// The shortest time of a health check that Docker takes.
const SHORTEST: Duration = Duration::from_millis(1);

impl RunOptions {
    /// These options in a container of an image.
    ///
    /// # Errors
    /// Refused, naming the image's field, for what no container can have.
    pub fn with_image_config(mut self, image: &ContainerConfig) -> Result<Self> {
        self.words_of(image);
        self.variables_of(image);
        self.volumes_of(image)?;
        self.user = self.user.or_else(|| image.user.clone());
        if let (None, Some(folder)) = (&self.workdir, &image.working_dir) {
            self.workdir = Some(inside(folder));
        }
        for (key, value) in &image.labels {
            self.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        self.exposed_ports.extend(image.exposed_ports.iter().cloned());
        if let (None, Some(word)) = (self.stop.signal, &image.stop_signal) {
            let signal = sys::signal::number(word).and_then(Signal::new);
            self.stop.signal = Some(signal.ok_or_else(|| {
                let hint = "choose one with --stop-signal";
                Refused::new("the image's stop signal", word, "is no signal").hint(hint)
            })?);
        }
        self.health = health(self.health, image)?;
        Ok(self)
    }

    /// The image's command is for the image's entrypoint: with another one it means nothing.
    fn words_of(&mut self, image: &ContainerConfig) {
        if self.entrypoint.is_some() {
            return;
        }
        if self.command.is_empty() {
            self.command.clone_from(&image.cmd);
        }
        self.entrypoint = Some(image.entrypoint.clone());
    }

    /// A variable of the same name that a flag sets, or takes away, holds. Of two in the image the last one does.
    fn variables_of(&mut self, image: &ContainerConfig) {
        let asked = self.env.len();
        for text in &image.env {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            if name.is_empty() || self.env.iter().take(asked).any(|known| known.name == name) {
                continue;
            }
            match self.env.iter_mut().find(|known| known.name == name) {
                Some(known) => known.value = value,
                None => self.env.push(Variable { name: name.to_owned(), value }),
            }
        }
    }

    /// A new volume at each place that the image names and nothing else is mounted at.
    fn volumes_of(&mut self, image: &ContainerConfig) -> Result<()> {
        for path in &image.volumes {
            let destination = inside(path);
            if destination.is_root() {
                return Err(Refused::new("the image's volume", path, "is the container's root itself").into());
            }
            if self.mounts.iter().any(|mount| *mount.destination() == destination) {
                continue;
            }
            self.mounts.push(Mount::Volume(VolumeMount {
                name: VolumeName::New,
                destination,
                access: Access::ReadWrite,
                subpath: None,
                fill: Fill::FromRoot,
                traits: Traits::default(),
                mode: String::new(),
                origin: Origin::Image,
            }));
        }
        Ok(())
    }
}

/// A path of an image's, which counts from the root also where it does not say so.
fn inside(path: &str) -> ContainerPath {
    ContainerPath::new(path).unwrap_or_else(|| ContainerPath::clean(path))
}

/// What was asked for, completed field by field.
fn health(asked: HealthWish, image: &ContainerConfig) -> Result<HealthWish> {
    let mut check = match asked {
        HealthWish::Unchecked => return Ok(HealthWish::Unchecked),
        HealthWish::Unsaid if image.healthcheck.is_none() => return Ok(HealthWish::Unsaid),
        HealthWish::Unsaid => Healthcheck::default(),
        HealthWish::Checked(check) => check,
    };
    if check.shell.is_empty() {
        check.shell.clone_from(&image.shell);
    }
    let Some(of_image) = &image.healthcheck else { return Ok(HealthWish::Checked(check)) };
    if check.command.is_none() {
        match test(of_image) {
            None => return Ok(HealthWish::Unchecked),
            command => check.command = command,
        }
    }
    check.interval = check.interval.or(time("interval", of_image.interval)?);
    check.timeout = check.timeout.or(time("timeout", of_image.timeout)?);
    check.start_period = check.start_period.or(time("start period", of_image.start_period)?);
    check.start_interval = check.start_interval.or(time("start interval", of_image.start_interval)?);
    let retries = u32::try_from(of_image.retries).map_err(|_| {
        Refused::new("the image's health check", of_image.retries.to_string(), "is no number of retries")
    })?;
    check.retries = check.retries.or(Some(retries).filter(|count| *count != 0));
    Ok(HealthWish::Checked(check))
}

/// What an image is checked by, if it is. A kind of test that is not known checks nothing.
fn test(check: &ImageCheck) -> Option<Test> {
    match check.test.split_first()? {
        (kind, [line, ..]) if kind == "CMD-SHELL" => Some(Test::Line(line.clone())),
        (kind, words @ [_, ..]) if kind == "CMD" => Some(Test::Words(words.to_vec())),
        _ => None,
    }
}

/// A time of an image's, in nanoseconds; 0 is none.
fn time(name: &str, nanos: i64) -> Result<Option<Duration>> {
    let time = u64::try_from(nanos).map(Duration::from_nanos).ok();
    match time {
        Some(Duration::ZERO) => Ok(None),
        Some(time) if time >= SHORTEST => Ok(Some(time)),
        _ => {
            let field = format!("the image's health check: its {name} of");
            Err(Refused::new(field, format!("{nanos} ns"), "is less than 1 ms").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::options::Root;

    fn asked(command: &[&str]) -> RunOptions {
        let words = command.iter().map(|word| (*word).to_owned()).collect();
        RunOptions::new(Root::Folder(PathBuf::from("/root")), words)
    }

    fn image(json: &str) -> ContainerConfig {
        serde_json::from_str(json).unwrap()
    }

    fn merged(options: RunOptions, json: &str) -> RunOptions {
        let merged = options.with_image_config(&image(json)).unwrap();
        assert_eq!(merged.clone().with_image_config(&image(json)).unwrap(), merged, "a second time adds nothing");
        merged
    }

    fn words(options: &RunOptions) -> Vec<&str> {
        options.entrypoint.iter().flatten().chain(&options.command).map(String::as_str).collect()
    }

    #[test]
    fn an_image_without_wishes_changes_nothing() {
        let options = asked(&["sh"]);
        let expected = RunOptions { entrypoint: Some(Vec::new()), ..options.clone() };
        assert_eq!(merged(options, "{}"), expected);
    }

    #[test]
    fn the_words_are_the_images_entrypoint_and_its_command_unless_others_were_given() {
        let both = r#"{"Entrypoint": ["/entry", "-x"], "Cmd": ["serve"]}"#;
        assert_eq!(words(&merged(asked(&[]), both)), ["/entry", "-x", "serve"]);
        assert_eq!(words(&merged(asked(&["other", "words"]), both)), ["/entry", "-x", "other", "words"]);
        let with_entrypoint = |entrypoint: &[&str], command: &[&str]| {
            let entrypoint = Some(entrypoint.iter().map(|word| (*word).to_owned()).collect());
            RunOptions { entrypoint, ..asked(command) }
        };
        assert_eq!(words(&merged(with_entrypoint(&["sh"], &[]), both)), ["sh"]);
        assert_eq!(words(&merged(with_entrypoint(&["sh"], &["-c"]), both)), ["sh", "-c"]);
        assert_eq!(words(&merged(with_entrypoint(&[], &["id"]), both)), ["id"]);
        assert!(words(&merged(with_entrypoint(&[], &[]), both)).is_empty());
        assert_eq!(words(&merged(asked(&[]), r#"{"Cmd": ["bash"]}"#)), ["bash"]);
    }

    #[test]
    fn variables_of_flags_stand_first_and_hold() {
        let variable =
            |name: &str, value: Option<&str>| Variable { name: name.to_owned(), value: value.map(str::to_owned) };
        let mut options = asked(&["env"]);
        options.env = vec![variable("B", Some("flag")), variable("GONE", None)];
        let env =
            merged(options, r#"{"Env": ["PATH=/bin", "B=image", "GONE=1", "C=1", "=x", "TERM", "C=2=3", "D="]}"#).env;
        let expected =
            [("B", Some("flag")), ("GONE", None), ("PATH", Some("/bin")), ("C", Some("2=3")), ("TERM", None)];
        let expected = expected.into_iter().chain([("D", Some(""))]).map(|(name, value)| variable(name, value));
        assert_eq!(env, expected.collect::<Vec<Variable>>());
    }

    #[test]
    fn user_folder_signal_labels_and_ports_are_the_images_where_no_flag_says_them() {
        let json = r#"{"User": "web:www", "WorkingDir": "srv/../data/", "StopSignal": "SIGQUIT",
            "Labels": {"a": "image", "b": "image"}, "ExposedPorts": {"80/tcp": {}}}"#;
        let of_image = merged(asked(&["sh"]), json);
        assert_eq!(of_image.user.as_deref(), Some("web:www"));
        assert_eq!(of_image.workdir, ContainerPath::new("/data"));
        assert_eq!(of_image.stop.signal, Signal::new(3));
        assert!(of_image.exposed_ports.contains("80/tcp"));
        let mut options = asked(&["sh"]);
        options.user = Some("0".to_owned());
        options.workdir = ContainerPath::new("/tmp");
        options.stop.signal = Some(Signal::KILL);
        options.labels.insert("a".to_owned(), "flag".to_owned());
        let of_flags = merged(options.clone(), json);
        assert_eq!((&of_flags.user, &of_flags.workdir, of_flags.stop), (&options.user, &options.workdir, options.stop));
        assert_eq!([&of_flags.labels["a"], &of_flags.labels["b"]], ["flag", "image"]);
        let error = asked(&[]).with_image_config(&image(r#"{"StopSignal": "SIGNONE"}"#)).unwrap_err();
        assert!(error.to_string().contains("SIGNONE: is no signal"), "{error}");
    }

    #[test]
    fn a_volume_of_the_image_is_a_new_one_where_nothing_else_is_mounted() {
        let json = r#"{"Volumes": {"/data": {}, "/data/": {}, "/cache": {}, "/tmp": {}}}"#;
        let mut options = asked(&["sh"]);
        let tmpfs = super::super::Tmpfs {
            destination: ContainerPath::new("/tmp").unwrap(),
            options: Vec::new(),
            asked: super::super::Asked::AsTmpfs,
        };
        options.mounts.push(Mount::Tmpfs(tmpfs));
        let mounts = merged(options, json).mounts;
        let volumes = mounts.iter().filter_map(|mount| match mount {
            Mount::Volume(volume) if volume.name == VolumeName::New && volume.fill == Fill::FromRoot => Some(volume),
            _ => None,
        });
        assert_eq!(volumes.map(|volume| volume.destination.as_str()).collect::<Vec<_>>(), ["/cache", "/data"]);
        assert_eq!(mounts.len(), 3);
        assert!(asked(&[]).with_image_config(&image(r#"{"Volumes": {"/": {}}}"#)).is_err());
    }

    #[test]
    fn a_health_check_is_completed_field_by_field() {
        let json = r#"{"Shell": ["/bin/bash", "-c"], "Healthcheck": {"Test": ["CMD-SHELL", "test -e /up"],
            "Interval": 1000000000, "Timeout": 2000000000, "Retries": 5}}"#;
        let HealthWish::Checked(check) = merged(asked(&["sh"]), json).health else { panic!("unchecked") };
        assert_eq!(check.words().unwrap(), ["/bin/bash", "-c", "test -e /up"]);
        assert_eq!((check.interval, check.retries), (Some(Duration::from_secs(1)), Some(5)));
        let flags = Healthcheck { timeout: Some(Duration::from_secs(9)), ..Healthcheck::default() };
        let options = RunOptions { health: HealthWish::Checked(flags), ..asked(&["sh"]) };
        let HealthWish::Checked(check) = merged(options, json).health else { panic!("unchecked") };
        assert_eq!((check.timeout, check.interval), (Some(Duration::from_secs(9)), Some(Duration::from_secs(1))));
        let options = RunOptions { health: HealthWish::Unchecked, ..asked(&["sh"]) };
        assert_eq!(merged(options, json).health, HealthWish::Unchecked);
    }

    #[test]
    fn a_health_check_of_words_of_none_and_of_times_that_cannot_be() {
        let health = |json: &str| asked(&["sh"]).with_image_config(&image(json)).map(|options| options.health);
        let HealthWish::Checked(check) = health(r#"{"Healthcheck": {"Test": ["CMD", "pg_isready", "-q"]}}"#).unwrap()
        else {
            panic!("unchecked")
        };
        assert_eq!(check.words().unwrap(), ["pg_isready", "-q"]);
        for none in [r#"["NONE"]"#, "[]", r#"["CMD"]"#, r#"["OTHER", "x"]"#] {
            let json = format!(r#"{{"Healthcheck": {{"Test": {none}}}}}"#);
            assert_eq!(health(&json).unwrap(), HealthWish::Unchecked, "{none}");
        }
        for bad in [r#""Interval": -1"#, r#""Timeout": 999"#, r#""Retries": -1"#] {
            assert!(health(&format!(r#"{{"Healthcheck": {{"Test": ["CMD", "x"], {bad}}}}}"#)).is_err(), "{bad}");
        }
    }
}
