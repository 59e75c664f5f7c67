//! An image as one document, with Docker's keys.

use engine::containers::Engine;
use engine::driver::Driver;
use engine::images::Named;
use error::Result;
use image::Reference;
use oci::image::ContainerConfig;
use serde_json::{Map, Value, json};

/// Docker's moment for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The document of an image.
///
/// # Errors
/// Corrupt where its configuration cannot be read.
pub(crate) fn document(engine: &Engine, named: &Named) -> Result<Value> {
    let (image, store) = (&named.image, &engine.store);
    let config = store.image_config(&image.id)?;
    let tags: Vec<String> = named.names.iter().map(Reference::familiar).collect();
    let familiar = |text: &String| Reference::parse(text).map_or_else(|_| text.clone(), |name| name.familiar());
    let digests: Vec<String> = image.digests.iter().map(familiar).collect();
    let folders: Vec<String> =
        image.layers.iter().rev().map(|chain| store.layer_files(chain).display().to_string()).collect();
    let mut layers = Map::new();
    if let Some((top, below)) = folders.split_first() {
        layers.insert("UpperDir".to_owned(), top.as_str().into());
        if !below.is_empty() {
            layers.insert("LowerDir".to_owned(), below.join(":").into());
        }
    }
    let verified = image.verified.iter().map(|by| json!({"Key": by.key, "Digest": by.digest})).collect::<Value>();
    let comment = config.history.last().and_then(|step| step.comment.as_deref());
    let mut document = json!({
        "Id": image.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": "",
        "Comment": comment.unwrap_or_default(),
        "Created": config.created.as_deref().unwrap_or(NEVER),
        "DockerVersion": "",
        "Author": config.author.as_deref().unwrap_or_default(),
        "Config": configured(&config.config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.bytes,
        "VirtualSize": image.bytes,
        "GraphDriver": match store.driver() {
            Driver::Overlay => json!({"Name": "overlay", "Data": layers}),
            Driver::Vfs => json!({"Name": "vfs", "Data": null}),
        },
        "RootFS": {"Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids},
        "Metadata": {"LastTagTime": image.arrived.to_string()},
        "Manifests": image.manifests,
        "Verified": verified,
    });
    let present = [("Variant", config.variant), ("OsVersion", config.os_version)];
    if let Some(fields) = document.as_object_mut() {
        fields.extend(present.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
    }
    Ok(document)
}

/// What the image says of its containers, with the fields that Docker's document always has.
fn configured(config: &ContainerConfig) -> Value {
    let mut fields = json!({
        "Hostname": "",
        "Domainname": "",
        "User": "",
        "AttachStdin": false,
        "AttachStdout": false,
        "AttachStderr": false,
        "Tty": false,
        "OpenStdin": false,
        "StdinOnce": false,
        "Env": null,
        "Cmd": null,
        "Image": "",
        "Volumes": null,
        "WorkingDir": "",
        "Entrypoint": null,
        "OnBuild": null,
        "Labels": null,
    });
    if let (Some(fields), Ok(Value::Object(said))) = (fields.as_object_mut(), serde_json::to_value(config)) {
        fields.extend(said);
    }
    fields
}

/// The document as a template sees it: with the fields that Docker's has whatever the image says.
pub(crate) fn for_template(mut document: Value) -> Value {
    let of_image = json!({"Variant": "", "OsVersion": ""});
    let of_config = json!({
        "ArgsEscaped": false,
        "Cmd": [],
        "Entrypoint": [],
        "Env": [],
        "ExposedPorts": {},
        "Healthcheck": null,
        "Labels": {},
        "OnBuild": [],
        "Shell": [],
        "StopSignal": "",
        "Volumes": {},
    });
    if let Some(config) = document.get_mut("Config") {
        complete(config, of_config);
    }
    complete(&mut document, of_image);
    document
}

fn complete(document: &mut Value, with: Value) {
    let (Some(fields), Value::Object(with)) = (document.as_object_mut(), with) else { return };
    for (key, value) in with {
        let field = fields.entry(key).or_insert(Value::Null);
        if field.is_null() {
            *field = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_image_does_not_say_stands_there_as_docker_has_it() {
        let config: ContainerConfig =
            serde_json::from_str(r#"{"Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGINT"}"#)
                .unwrap();
        let shown = configured(&config);
        assert_eq!(shown["Env"], json!(["A=1"]));
        assert_eq!(shown["ExposedPorts"], json!({"80/tcp": {}}));
        assert_eq!((&shown["Cmd"], &shown["User"], &shown["Labels"]), (&Value::Null, &"".into(), &Value::Null));
        assert!(shown.get("Healthcheck").is_none());
    }
}
