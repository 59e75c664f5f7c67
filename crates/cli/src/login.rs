//! `login` and `logout`. Words, questions and messages as Docker's.

use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::process::ExitCode;

use error::{Doing as _, Errno, Kernel, Refused, Result};
use image::credentials::{Kept, key};
use image::registry::{Credentials, Secret};
use lexopt::Parser;

use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage, wrong_words};
use crate::registry::{Ways, host};
use crate::relay::{self, RawTerminal};
use crate::{help, report};

/// The longest name and the longest password, in bytes.
const LONGEST: u64 = 64 << 10;

/// What `login` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Login {
    user: Option<String>,
    password: Option<String>,
    /// Whether the password comes by standard input.
    password_stdin: bool,
    registry: Option<String>,
}

pub(crate) const LOGIN: Usage<Login> = Usage {
    command: "login",
    words: "[REGISTRY]",
    doc: "Log in to a registry

Without REGISTRY to Docker Hub. What is kept of it stands in ~/.docker/config.json, or with the program docker-credential-NAME
that credsStore or credHelpers in that file name.",
    flags: &[&[
        Flag::value(
            "username",
            "NAME",
            |login: &mut Login, given| {
                login.user = Some(given.value.to_owned());
                Ok(())
            },
            "who you are there",
        )
        .short('u'),
        Flag::value(
            "password",
            "PASSWORD",
            |login: &mut Login, given| {
                login.password = Some(given.value.to_owned());
                Ok(())
            },
            "what proves it, for all to see in the list of processes",
        )
        .short('p'),
        Flag::switch(
            "password-stdin",
            |login: &mut Login, on| login.password_stdin = on,
            "read the password from standard input",
        ),
    ]],
    end: End::Never,
};

pub(crate) const LOGOUT: Usage<()> = Usage {
    command: "logout",
    words: "[REGISTRY]",
    doc: "Log out from a registry

Without REGISTRY from Docker Hub.",
    flags: &[],
    end: End::Never,
};

/// Reads the words of `login`.
pub(crate) fn read_login(parser: &mut Parser) -> Result<Command> {
    let mut login = Login::default();
    let words = match LOGIN.read(parser, &mut login)? {
        Read::Help => return Ok(Command::Help(help::of_command(&LOGIN))),
        Read::Words(words) => words,
    };
    login.registry = at_most_one("login", words)?;
    if login.password.is_some() && login.password_stdin {
        return Err(Refused::new("--password-stdin", "", "is mutually exclusive with --password").into());
    }
    if login.password_stdin && login.user.is_none() {
        return Err(Refused::new("--password-stdin", "", "needs --username").into());
    }
    Ok(Command::Login(login))
}

/// Reads the words of `logout`.
pub(crate) fn read_logout(parser: &mut Parser) -> Result<Command> {
    match LOGOUT.read(parser, &mut ())? {
        Read::Help => Ok(Command::Help(help::of_command(&LOGOUT))),
        Read::Words(words) => Ok(Command::Logout(at_most_one("logout", words)?)),
    }
}

fn at_most_one(command: &str, words: Vec<String>) -> Result<Option<String>> {
    let mut words = words.into_iter();
    let first = words.next();
    match words.next() {
        None => Ok(first),
        Some(word) => {
            let refused = wrong_words(command, word, "it takes one registry at a time");
            Err(refused.hint(format!("for example: carboy {command} {}", first.unwrap_or_default())).into())
        }
    }
}

/// `carboy login`.
pub(crate) fn run(ways: &Ways, asked: &Login) -> Result<ExitCode> {
    let host = host(asked.registry.as_deref())?;
    let known = ways.logins.find(host, "")?;
    if asked.user.is_none()
        && asked.password.is_none()
        && let Some(known) = &known
    {
        report::note("Authenticating with existing credentials...");
        match ways.registry_as(host, "any", Some(known.clone()))?.greet() {
            Ok(()) => {
                report::line("Login Succeeded");
                return Ok(ExitCode::SUCCESS);
            }
            Err(error) if relay::settings().is_none() => return Err(error),
            Err(error) => report::error(&error),
        }
    }
    if asked.password.is_some() {
        report::warning("--password shows it in the list of processes: use --password-stdin");
    }
    let known = known.map(|known| known.user).unwrap_or_default();
    let credentials = credentials(asked, &known)?;
    ways.registry_as(host, "any", Some(credentials.clone()))?.greet()?;
    if let Kept::File(file) = ways.logins.keep(host, &credentials)? {
        let file = file.display();
        report::warning(&format!(
            "the password stands unencrypted in {file}: credsStore there names a program that keeps it"
        ));
    }
    report::line("Login Succeeded");
    Ok(ExitCode::SUCCESS)
}

/// `carboy logout`.
pub(crate) fn logout(ways: &Ways, registry: Option<&str>) -> Result<ExitCode> {
    let host = host(registry)?;
    if ways.logins.forget(host)? {
        report::line(&format!("Removing login credentials for {}", key(host)));
    } else {
        report::line(&format!("Not logged in to {}", key(host)));
    }
    Ok(ExitCode::SUCCESS)
}

fn credentials(asked: &Login, known: &str) -> Result<Credentials> {
    let user = match &asked.user {
        Some(user) => user.clone(),
        None => ask_user(known)?,
    };
    let password = match &asked.password {
        Some(password) => password.clone(),
        None if asked.password_stdin => piped()?,
        None => ask_password()?,
    };
    let missing = |what: &str| Refused::new("the login", "", format!("it needs a {what}"));
    if user.is_empty() || user.contains(':') {
        return Err(missing("username, and one without a colon").into());
    }
    if password.is_empty() {
        return Err(missing("password").into());
    }
    Ok(Credentials { user, secret: Secret::Password(password) })
}

/// Standard input without the line's end.
fn piped() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(LONGEST).read_to_string(&mut text).doing(|| "read the password")?;
    Ok(text.trim_end_matches('\n').trim_end_matches('\r').to_owned())
}

fn no_terminal() -> error::Error {
    let refused = Refused::new("the login", "", "it would ask, and standard input is no terminal");
    refused.hint("use --username and --password-stdin").into()
}

fn ask_user(known: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(no_terminal());
    }
    let question = if known.is_empty() { "Username: ".to_owned() } else { format!("Username ({known}): ") };
    let _ = report::written(|out| out.write_all(question.as_bytes()));
    let mut line = String::new();
    std::io::stdin().lock().take(LONGEST).read_line(&mut line).doing(|| "read the username")?;
    let user = line.trim();
    Ok(if user.is_empty() { known.to_owned() } else { user.to_owned() })
}

/// Reads what is typed without showing it. The terminal passes every key on as it is, so that no signal ends carboy before
/// the terminal has its settings back.
fn ask_password() -> Result<String> {
    let Some(former) = relay::settings() else { return Err(no_terminal()) };
    // What is typed as soon as the question is seen must not be shown.
    let raw = RawTerminal::set(former)?;
    let _ = report::written(|out| out.write_all(b"Password: "));
    let typed = typed();
    drop(raw);
    report::line("");
    typed
}

fn typed() -> Result<String> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const CLEAR: u8 = 0x15;
    let mut typed = Vec::new();
    let mut stdin = std::io::stdin().lock();
    let mut key = [0];
    loop {
        let count = stdin.read(&mut key).doing(|| "read the password")?;
        match key {
            [INTERRUPT] => return Err(Kernel::new("read the password", Errno::INTR).into()),
            [b'\r' | b'\n' | END] => break,
            _ if count == 0 => break,
            [8 | 0x7f] => drop(typed.pop()),
            [CLEAR] => typed.clear(),
            [byte] if (typed.len() as u64) < LONGEST => typed.push(byte),
            [_] => {}
        }
    }
    String::from_utf8(typed).map_err(|_| Refused::new("the password", "", "is not valid UTF-8").into())
}
