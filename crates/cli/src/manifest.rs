//! `manifest inspect`: what a name stands for at its registry, as the registry has it; nothing comes to this host. Words and
//! output as Docker's.

use std::io::Read as _;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use error::{Doing as _, Refused, Result};
use image::Reference;
use image::registry::{Fetched, Registry, Wanted};
use lexopt::Parser;
use oci::image::{Descriptor, Digest, Document, ImageConfig, Manifest, Platform, media};
use serde_json::json;

use crate::command::Command;
use crate::flags::{End, Flag, Read, Usage, wrong_words};
use crate::registry::Ways;
use crate::{help, report};

/// The largest configuration that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// What `manifest inspect` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Inspect {
    /// Whether a registry that cannot prove its name will do.
    insecure: bool,
    /// Whether each image is told of with its digest and its platform.
    verbose: bool,
    /// The image's name.
    name: String,
}

/// `carboy manifest`, which has a command of its own.
pub(crate) const MANIFEST: Usage<()> = Usage {
    command: "manifest",
    words: "inspect [WORDS]",
    doc: "Look at manifests in registries\n\ninspect  print what a name stands for at its registry",
    flags: &[],
    end: End::FirstWord,
};

/// `carboy manifest inspect`.
pub(crate) const INSPECT: Usage<Inspect> = Usage {
    command: "manifest inspect",
    words: "NAME[:TAG|@DIGEST]",
    doc: "Print what a name stands for at its registry, an image's manifest or an index, without a pull",
    flags: &[&[
        Flag::switch(
            "insecure",
            |asked: &mut Inspect, on| asked.insecure = on,
            "ask a registry that cannot prove its name",
        ),
        Flag::switch(
            "verbose",
            |asked: &mut Inspect, on| asked.verbose = on,
            "tell of each image's digest and platform",
        )
        .short('v'),
    ]],
    end: End::Never,
};

/// Reads the words after `manifest`.
///
/// # Errors
/// Refused, naming the command or the flag.
pub(crate) fn read(parser: &mut Parser) -> Result<Command> {
    let words = match MANIFEST.read(parser, &mut ())? {
        Read::Help => return Ok(Command::Help(help::of_command(&MANIFEST))),
        Read::Words(words) => words,
    };
    match words.split_first() {
        None => Ok(Command::Help(help::of_command(&MANIFEST))),
        Some((word, words)) if word == "inspect" => read_inspect(&mut Parser::from_args(words)),
        Some((word, _)) => {
            Err(wrong_words("manifest", word, "it has no such command").hint("use carboy manifest inspect NAME").into())
        }
    }
}

fn read_inspect(parser: &mut Parser) -> Result<Command> {
    let mut asked = Inspect::default();
    let words = match INSPECT.read(parser, &mut asked)? {
        Read::Help => return Ok(Command::Help(help::of_command(&INSPECT))),
        Read::Words(words) => words,
    };
    match words.as_slice() {
        [name] => Ok(Command::Manifest(Inspect { name: name.clone(), ..asked })),
        words => {
            let word = words.get(1).map(String::as_str).unwrap_or_default();
            let refused = wrong_words(INSPECT.command, word, "it needs one image's name");
            Err(refused.hint("for example: carboy manifest inspect debian:12").into())
        }
    }
}

/// A registry's answer, and where it came from.
struct Found {
    name: Reference,
    registry: Registry,
    repository: String,
    fetched: Fetched,
}

/// `carboy manifest inspect`.
///
/// # Errors
/// What the registry refuses.
pub(crate) fn run(ways: Ways, asked: &Inspect) -> Result<ExitCode> {
    let ways = if asked.insecure { ways.trusting() } else { ways };
    let found = find(&ways, &asked.name)?;
    let document = Document::parse(Some(&found.fetched.media_type), &found.fetched.bytes)?;
    let text = match (&document, asked.verbose) {
        (Document::Manifest(_), false) => indented(&text(&found.fetched.bytes)?, "\t"),
        // So Docker has it.
        (Document::Index(_), false) => indented(&text(&found.fetched.bytes)?, "   "),
        (Document::Manifest(manifest), true) => {
            indented(&whole(&found.name, &found.fetched, platform(&found, manifest)?)?, "\t")
        }
        (Document::Index(index), true) => {
            let mut all = Vec::new();
            for item in index.manifests.iter().filter(|item| media::is_manifest(&item.media_type)) {
                let fetched = found.ask(&item.digest)?;
                let name = Reference { digest: Some(item.digest.clone()), ..found.name.clone() };
                all.push(whole(&name, &fetched, item.platform.clone())?);
            }
            indented(&format!("[{}]", all.join(",")), "\t")
        }
    };
    report::line(&text);
    Ok(ExitCode::SUCCESS)
}

impl Found {
    fn ask(&self, digest: &Digest) -> Result<Fetched> {
        self.registry.manifest(&self.repository, Wanted::Digest(digest), &media::DOCUMENTS)
    }
}

/// What the first registry has that has something of this name.
fn find(ways: &Ways, word: &str) -> Result<Found> {
    let mut failed = None;
    for name in ways.registries.meanings(word)? {
        for (registry, repository) in ways.places(&name)? {
            match registry.manifest(&repository, Wanted::of(&name), &media::DOCUMENTS) {
                Ok(fetched) => return Ok(Found { name, registry, repository, fetched }),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
    }
    Err(failed.unwrap_or_else(|| Refused::new("the image's name", word, "leads to no registry").into()))
}

/// The platform of an image that no index tells of: its configuration does.
fn platform(found: &Found, manifest: &Manifest) -> Result<Option<Platform>> {
    if !media::is_config(&manifest.config.media_type) || manifest.config.size > LARGEST {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let blob = found.registry.blob(&found.repository, &manifest.config, 0)?;
    blob.take(LARGEST)
        .read_to_end(&mut bytes)
        .doing(|| format!("read the configuration {}", manifest.config.digest))?;
    if image::sha256(&bytes) != manifest.config.digest {
        return Err(Refused::new("the blob", manifest.config.digest.as_str(), "is not what its name says").into());
    }
    Ok(Some(ImageConfig::parse(&bytes)?.platform()))
}

/// One image as Docker tells of it, with the manifest as it is.
fn whole(name: &Reference, fetched: &Fetched, platform: Option<Platform>) -> Result<String> {
    let kind = fetched.media_type.as_str();
    let descriptor = Descriptor::new(kind, fetched.digest.clone(), fetched.bytes.len() as u64);
    let descriptor = serde_json::to_string(&Descriptor { platform, ..descriptor })
        .map_err(|error| Refused::new("the manifest", "", error.to_string()))?;
    let own = if kind == media::DOCKER_MANIFEST { "SchemaV2Manifest" } else { "OCIManifest" };
    let (name, raw, manifest) =
        (json!(name.to_string()), json!(STANDARD.encode(&fetched.bytes)), text(&fetched.bytes)?);
    Ok(format!("{{\"Ref\":{name},\"Descriptor\":{descriptor},\"Raw\":{raw},\"{own}\":{manifest}}}"))
}

fn text(bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes).map_err(|_| Refused::new("the manifest", "", "is not valid UTF-8"))?;
    Ok(compact(text))
}

/// JSON without the space between its parts, and with what a terminal obeys in its other form.
fn compact(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    each(text, |character, is_text| {
        if !is_text && character.is_ascii_whitespace() {
            return;
        }
        let mut bytes = [0; 4];
        let alone = character.encode_utf8(&mut bytes);
        if report::harmless(alone) == *alone {
            made.push(character);
        } else {
            made.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    });
    made
}

/// Compact JSON in lines, each further in by `unit` than what it is part of; its parts stay as they are written.
fn indented(text: &str, unit: &str) -> String {
    let mut made = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut before = ' ';
    each(text, |character, is_text| {
        let opened = matches!(before, '{' | '[');
        let closes = !is_text && matches!(character, '}' | ']');
        depth = depth.saturating_sub(usize::from(closes));
        // What is empty stays on its line.
        if (opened && !closes) || before == ',' || (closes && !opened) {
            made.push('\n');
            made.extend(std::iter::repeat_n(unit, depth));
        } else if before == ':' {
            made.push(' ');
        }
        made.push(character);
        depth += usize::from(!is_text && matches!(character, '{' | '['));
        before = if is_text { 'x' } else { character };
    });
    made
}

/// Every character of JSON, and whether it stands within quotes.
fn each(text: &str, mut act: impl FnMut(char, bool)) {
    let (mut is_text, mut is_escaped) = (false, false);
    for character in text.chars() {
        let is_end = character == '"' && !is_escaped;
        act(character, is_text || is_end);
        is_text ^= is_end;
        is_escaped = is_text && character == '\\' && !is_escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_as_it_is_written() {
        let written = r#"{ "b":[1.50 , {"a":"x: {,}\"\\"} ],"a":{ },"c":[]}"#;
        let shown = "{\n\t\"b\": [\n\t\t1.50,\n\t\t{\n\t\t\t\"a\": \"x: {,}\\\"\\\\\"\n\t\t}\n\t],\n\t\"a\": {},\n\t\"c\": []\n}";
        assert_eq!(indented(&compact(written), "\t"), shown);
    }
}
