//! Where a call goes in the API of a cloud, which has the model, or what it is called there, in the path.
//!
//! Only the path and the version in the query change; a body goes as it came. What was decided on is the caller's model;
//! that it is another word there is the settings' word.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use http::uri::PathAndQuery;

use crate::upstream::{AzureKey, BedrockKey, CloudKey, KeyValue, UpstreamKey, VertexKey};

/// The version of Azure's API that is asked for where neither the call nor the key does.
const AZURE_VERSION: &str = "2024-10-21";

impl UpstreamKey {
    /// What goes on in place of `target`, for a call that names `model`.
    pub(super) fn target(&self, target: &PathAndQuery, model: Option<&str>) -> PathAndQuery {
        let path = target.path();
        let (path, version) = match &self.cloud {
            CloudKey::None => return target.clone(),
            CloudKey::Azure(key) => azure(key, path, target.query(), model),
            CloudKey::Vertex(key) => (model.and_then(|model| vertex(key, path, model)), None),
            CloudKey::Bedrock(key) => (model.and_then(|model| bedrock(key, path, model)), None),
            CloudKey::Huggingface(config) => {
                let path =
                    model.and_then(|model| swapped(path, "models", &config.deployments, model));
                (path, None)
            }
        };
        if path.is_none() && version.is_none() {
            return target.clone();
        }
        let mut text = path.unwrap_or_else(|| target.path().to_owned());
        let parts = target.query().map(str::to_owned).into_iter().chain(version);
        for (place, part) in parts.enumerate() {
            text.push(if place == 0 { '?' } else { '&' });
            text.push_str(&part);
        }
        // Every part of it was in a target, or is encoded.
        text.parse().unwrap_or_else(|_| target.clone())
    }
}

fn azure(
    key: &AzureKey,
    path: &str,
    query: Option<&str>,
    model: Option<&str>,
) -> (Option<String>, Option<String>) {
    const OF_DEPLOYMENTS: [&str; 5] = ["chat", "completions", "embeddings", "images", "audio"];
    let path = match (path.strip_prefix("/v1/"), model) {
        (Some(rest), Some(model))
            if OF_DEPLOYMENTS.contains(&rest.split('/').next().unwrap_or_default()) =>
        {
            let deployment = encoded(key.deployments.get(model).map_or(model, String::as_str));
            Some(format!("/openai/deployments/{deployment}/{rest}"))
        }
        (Some(rest), _) => Some(format!("/openai/{rest}")),
        (None, Some(model)) => swapped(path, "deployments", &key.deployments, model),
        (None, None) => None,
    };
    let mut parameters = query.into_iter().flat_map(|query| query.split('&'));
    let has_version = parameters.any(|parameter| parameter.starts_with("api-version="));
    let version = (!has_version).then(|| {
        let version = text(key.api_version.as_ref());
        let version = version.unwrap_or_else(|| AZURE_VERSION.to_owned());
        format!("api-version={}", encoded(&version))
    });
    (path, version)
}

fn vertex(key: &VertexKey, path: &str, model: &str) -> Option<String> {
    let (Some(project), Some(region)) = (text(key.project_id.as_ref()), text(key.region.as_ref()))
    else {
        return None;
    };
    let within = |project: &str| {
        let (project, region) = (encoded(project), encoded(&region));
        format!("/v1/projects/{project}/locations/{region}")
    };
    if path == "/v1/chat/completions" {
        return Some(format!(
            "{}/endpoints/openapi/chat/completions",
            within(&project)
        ));
    }
    let named = key.deployments.get(model).map_or(model, String::as_str);
    let short = ["/v1beta/models/", "/v1/models/"];
    let rest = short.iter().find_map(|start| path.strip_prefix(start));
    let Some((_, operation)) = rest.and_then(|rest| rest.rsplit_once(':')) else {
        return swapped(path, "models", &key.deployments, model);
    };
    Some(if named.bytes().all(|byte| byte.is_ascii_digit()) {
        // A tuned model has an endpoint of its own, by the number of its project.
        let project = text(key.project_number.as_ref()).unwrap_or(project);
        format!("{}/endpoints/{named}:{operation}", within(&project))
    } else {
        let named = encoded(named);
        format!(
            "{}/publishers/google/models/{named}:{operation}",
            within(&project)
        )
    })
}

fn bedrock(key: &BedrockKey, path: &str, model: &str) -> Option<String> {
    let rest = path.strip_prefix("/model/")?;
    let (_, operation) = rest.split_once('/')?;
    let named = key.deployments.get(model).map_or(model, String::as_str);
    let named = match text(key.arn.as_ref()) {
        Some(arn) => encoded(&format!("{arn}/{named}")),
        None => encoded(named),
    };
    Some(format!("/model/{named}/{operation}"))
}

/// `path` with the deployment of `model` in place of the segment after `before`, or of what stands there before a `:`.
fn swapped(
    path: &str,
    before: &str,
    deployments: &BTreeMap<String, String>,
    model: &str,
) -> Option<String> {
    let deployment = encoded(deployments.get(model)?);
    let mut segments: Vec<&str> = path.split('/').collect();
    let place = segments.iter().position(|segment| *segment == before)? + 1;
    let segment = *segments.get(place)?;
    let swapped = match segment.split_once(':') {
        Some((_, operation)) => format!("{deployment}:{operation}"),
        None => deployment,
    };
    segments[place] = &swapped;
    Some(segments.join("/"))
}

fn text(value: Option<&KeyValue>) -> Option<String> {
    value.map(|value| value.secret.current().reveal().to_owned())
}

/// `text` as one segment of a path, or one value of a query: all but the unreserved is escaped (RFC 3986, 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
