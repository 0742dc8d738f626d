//! From text to messages: unknown and repeated fields are refused, numbers taken for texts and texts for numbers.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use fate_domain::members::Members;
use fate_proto::address::Endpoint;
use fate_proto::proxy::{AuthInfo, Command, Conf, Data, Metadata, Model, Packet, Task, Topic};

/// What is no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketJsonError {
    /// The text or a message in it is no JSON object.
    #[error("{0} is not a JSON object")]
    NoObject(&'static str),
    /// A message has no such field.
    #[error("{message} has no field `{field}`")]
    UnknownField {
        /// The message's name.
        message: &'static str,
        /// The field's name, shortened.
        field: String,
    },
    /// A field is there twice.
    #[error("a field of {0} is there twice")]
    Repeated(&'static str),
    /// A field's value has another form.
    #[error("the value of `{0}` has the wrong form")]
    Value(&'static str),
}

/// Reads a packet.
///
/// # Errors
/// The text is not one.
pub fn read_packet(text: &str) -> Result<Packet, PacketJsonError> {
    let mut packet = Packet::default();
    fields("Packet", text, |name, value| {
        match name {
            "header" => packet.header = message(value, read_header)?,
            "body" => packet.body = message(value, read_body)?,
            "auth" => packet.auth = message(value, read_auth)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(packet)
}

type Outcome<T> = Result<T, PacketJsonError>;

/// Calls `read` for every field with a value; it says whether it knows the field.
fn fields<'a>(
    message: &'static str,
    text: &'a str,
    mut read: impl FnMut(&str, &'a str) -> Outcome<bool>,
) -> Outcome<()> {
    let members = Members::whole(text).map_err(|_| PacketJsonError::NoObject(message))?;
    if members.has_repeated_names() {
        return Err(PacketJsonError::Repeated(message));
    }
    for (name, value) in members.iter() {
        if !read(name, value)? {
            return Err(PacketJsonError::UnknownField {
                message,
                field: name.chars().take(64).collect(),
            });
        }
    }
    Ok(())
}

fn message<M>(value: &str, read: fn(&str) -> Outcome<M>) -> Outcome<Option<M>> {
    match value {
        "null" => Ok(None),
        text => read(text).map(Some),
    }
}

fn read_header(text: &str) -> Outcome<Metadata> {
    let mut header = Metadata::default();
    fields("Metadata", text, |name, value| {
        match name {
            "task" => header.task = message(value, read_task)?,
            "src" => header.src = message(value, read_topic)?,
            "dst" => header.dst = message(value, read_topic)?,
            "command" => header.command = message(value, read_command)?,
            "operator" => header.operator = string("operator", value)?,
            "version" => header.version = int64("version", value)?,
            "ack" => header.ack = int64("ack", value)?,
            "conf" => header.conf = message(value, read_conf)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(header)
}

fn read_task(text: &str) -> Outcome<Task> {
    let mut task = Task::default();
    fields("Task", text, |name, value| {
        match name {
            "taskId" => task.task_id = string("taskId", value)?,
            "model" => task.model = message(value, read_model)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(task)
}

fn read_model(text: &str) -> Outcome<Model> {
    let mut model = Model::default();
    fields("Model", text, |name, value| {
        match name {
            "namespace" => model.namespace = string("namespace", value)?,
            "tableName" => model.table_name = string("tableName", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(model)
}

fn read_topic(text: &str) -> Outcome<Topic> {
    let mut topic = Topic::default();
    fields("Topic", text, |name, value| {
        match name {
            "name" => topic.name = string("name", value)?,
            "partyId" => topic.party_id = string("partyId", value)?,
            "role" => topic.role = string("role", value)?,
            "callback" => topic.callback = message(value, read_endpoint)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(topic)
}

fn read_endpoint(text: &str) -> Outcome<Endpoint> {
    let mut endpoint = Endpoint::default();
    fields("Endpoint", text, |name, value| {
        match name {
            "ip" => endpoint.ip = string("ip", value)?,
            "port" => endpoint.port = int32("port", value)?,
            "hostname" => endpoint.hostname = string("hostname", value)?,
            "useSSL" => endpoint.use_ssl = flag("useSSL", value)?,
            "negotiationType" => endpoint.negotiation_type = string("negotiationType", value)?,
            "certChainFile" => endpoint.cert_chain_file = string("certChainFile", value)?,
            "privateKeyFile" => endpoint.private_key_file = string("privateKeyFile", value)?,
            "caFile" => endpoint.ca_file = string("caFile", value)?,
            "url" => endpoint.url = string("url", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(endpoint)
}

fn read_command(text: &str) -> Outcome<Command> {
    let mut command = Command::default();
    fields("Command", text, |name, value| {
        match name {
            "name" => command.name = string("name", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(command)
}

fn read_conf(text: &str) -> Outcome<Conf> {
    let mut conf = Conf::default();
    fields("Conf", text, |name, value| {
        match name {
            "overallTimeout" => conf.overall_timeout = int64("overallTimeout", value)?,
            "completionWaitTimeout" => {
                conf.completion_wait_timeout = int64("completionWaitTimeout", value)?;
            }
            "packetIntervalTimeout" => {
                conf.packet_interval_timeout = int64("packetIntervalTimeout", value)?;
            }
            "maxRetries" => conf.max_retries = int32("maxRetries", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(conf)
}

fn read_body(text: &str) -> Outcome<Data> {
    let mut body = Data::default();
    fields("Data", text, |name, value| {
        match name {
            "key" => body.key = string("key", value)?,
            "value" => body.value = bytes("value", value)?.into(),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(body)
}

fn read_auth(text: &str) -> Outcome<AuthInfo> {
    let mut auth = AuthInfo::default();
    fields("AuthInfo", text, |name, value| {
        match name {
            "timestamp" => auth.timestamp = int64("timestamp", value)?,
            "appKey" => auth.app_key = string("appKey", value)?,
            "signature" => auth.signature = string("signature", value)?,
            "applyId" => auth.apply_id = string("applyId", value)?,
            "nonce" => auth.nonce = string("nonce", value)?,
            "version" => auth.version = string("version", value)?,
            "serviceId" => auth.service_id = string("serviceId", value)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(auth)
}

/// A text, or the spelling of a number or flag; null is the default.
fn string(field: &'static str, value: &str) -> Outcome<String> {
    match value.as_bytes().first() {
        Some(b'"') => serde_json::from_str(value).map_err(|_| PacketJsonError::Value(field)),
        Some(b'{' | b'[') | None => Err(PacketJsonError::Value(field)),
        Some(_) if value == "null" => Ok(String::new()),
        Some(_) => Ok(value.to_owned()),
    }
}

fn int64(field: &'static str, value: &str) -> Outcome<i64> {
    if value == "null" {
        return Ok(0);
    }
    let text = string(field, value)?;
    let exact = text.parse().ok().or_else(|| whole_number(&text));
    exact.ok_or(PacketJsonError::Value(field))
}

fn int32(field: &'static str, value: &str) -> Outcome<i32> {
    i32::try_from(int64(field, value)?).map_err(|_| PacketJsonError::Value(field))
}

/// `1.0` and `1e3`, as far as a double holds them exactly.
fn whole_number(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    let is_whole = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    // The bounds make the cast exact.
    is_whole.then_some(value as i64)
}

fn flag(field: &'static str, value: &str) -> Outcome<bool> {
    match value {
        "true" | "\"true\"" => Ok(true),
        "false" | "\"false\"" | "null" => Ok(false),
        _ => Err(PacketJsonError::Value(field)),
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Base64 in either alphabet, padded or not.
fn bytes(field: &'static str, value: &str) -> Outcome<Vec<u8>> {
    let text = string(field, value)?;
    let alphabet = if text.contains(['-', '_']) {
        URL_SAFE
    } else {
        STANDARD
    };
    let decoded = GeneralPurpose::new(&alphabet, LENIENT).decode(text);
    decoded.map_err(|_| PacketJsonError::Value(field))
}
