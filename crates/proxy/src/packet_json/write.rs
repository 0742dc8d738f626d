//! From messages to text: default values left out, `int64` as text, bytes as base64, and text escaped as Gson does it
//! for HTML.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fate_proto::address::Endpoint;
use fate_proto::proxy::{AuthInfo, Command, Conf, Data, Metadata, Model, Packet, Task, Topic};

/// The header on one line, as it is signed; a missing one is `{}`.
pub fn signed_header(packet: &Packet) -> String {
    on_one_line(packet.header.as_ref(), write_header)
}

/// The body on one line, as it is signed; a missing one is `{}`.
pub fn signed_body(packet: &Packet) -> String {
    on_one_line(packet.body.as_ref(), write_body)
}

/// A packet on many lines, as it travels over HTTP.
pub fn write_packet(packet: &Packet) -> String {
    let mut writer = Writer::new(Some(0));
    writer.object(packet, |packet, writer| {
        writer.message("header", packet.header.as_ref(), write_header);
        writer.message("body", packet.body.as_ref(), write_body);
        writer.message("auth", packet.auth.as_ref(), write_auth);
    });
    writer.out
}

fn on_one_line<M>(message: Option<&M>, fields: fn(&M, &mut Writer)) -> String {
    let mut writer = Writer::new(None);
    match message {
        Some(message) => writer.object(message, fields),
        None => writer.out.push_str("{}"),
    }
    writer.out
}

fn write_header(header: &Metadata, to: &mut Writer) {
    to.message("task", header.task.as_ref(), write_task);
    to.message("src", header.src.as_ref(), write_topic);
    to.message("dst", header.dst.as_ref(), write_topic);
    to.message(
        "command",
        header.command.as_ref(),
        |command: &Command, to| {
            to.text("name", &command.name);
        },
    );
    to.text("operator", &header.operator);
    to.int64("version", header.version);
    to.int64("ack", header.ack);
    to.message("conf", header.conf.as_ref(), write_conf);
}

fn write_task(task: &Task, to: &mut Writer) {
    to.text("taskId", &task.task_id);
    to.message("model", task.model.as_ref(), |model: &Model, to| {
        to.text("namespace", &model.namespace);
        to.text("tableName", &model.table_name);
    });
}

fn write_topic(topic: &Topic, to: &mut Writer) {
    to.text("name", &topic.name);
    to.text("partyId", &topic.party_id);
    to.text("role", &topic.role);
    to.message("callback", topic.callback.as_ref(), write_endpoint);
}

fn write_endpoint(endpoint: &Endpoint, to: &mut Writer) {
    to.text("ip", &endpoint.ip);
    to.int32("port", endpoint.port);
    to.text("hostname", &endpoint.hostname);
    to.flag("useSSL", endpoint.use_ssl);
    to.text("negotiationType", &endpoint.negotiation_type);
    to.text("certChainFile", &endpoint.cert_chain_file);
    to.text("privateKeyFile", &endpoint.private_key_file);
    to.text("caFile", &endpoint.ca_file);
    to.text("url", &endpoint.url);
}

fn write_conf(conf: &Conf, to: &mut Writer) {
    to.int64("overallTimeout", conf.overall_timeout);
    to.int64("completionWaitTimeout", conf.completion_wait_timeout);
    to.int64("packetIntervalTimeout", conf.packet_interval_timeout);
    to.int32("maxRetries", conf.max_retries);
}

fn write_body(body: &Data, to: &mut Writer) {
    to.text("key", &body.key);
    to.bytes("value", &body.value);
}

fn write_auth(auth: &AuthInfo, to: &mut Writer) {
    to.int64("timestamp", auth.timestamp);
    to.text("appKey", &auth.app_key);
    to.text("signature", &auth.signature);
    to.text("applyId", &auth.apply_id);
    to.text("nonce", &auth.nonce);
    to.text("version", &auth.version);
    to.text("serviceId", &auth.service_id);
}

/// Writes fields that have no default value.
struct Writer {
    out: String,
    /// Indentation of the object being written; none writes on one line.
    level: Option<usize>,
    is_first: bool,
}

impl Writer {
    fn new(level: Option<usize>) -> Self {
        Self {
            out: String::new(),
            level,
            is_first: true,
        }
    }

    fn object<M: ?Sized>(&mut self, message: &M, fields: impl FnOnce(&M, &mut Self)) {
        self.out.push('{');
        self.new_line();
        let level = self.level;
        self.level = level.map(|level| level + 1);
        self.is_first = true;
        fields(message, self);
        let is_empty = self.is_first;
        self.level = level;
        if !is_empty {
            self.new_line();
        }
        self.indent();
        self.out.push('}');
        self.is_first = false;
    }

    fn message<M>(&mut self, name: &str, message: Option<&M>, fields: fn(&M, &mut Self)) {
        if let Some(message) = message {
            self.name(name);
            self.object(message, fields);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            self.quoted(value);
        }
    }

    fn int64(&mut self, name: &str, value: i64) {
        if value != 0 {
            self.name(name);
            self.quoted(&value.to_string());
        }
    }

    fn int32(&mut self, name: &str, value: i32) {
        if value != 0 {
            self.name(name);
            self.out.push_str(&value.to_string());
        }
    }

    fn flag(&mut self, name: &str, value: bool) {
        if value {
            self.name(name);
            self.out.push_str("true");
        }
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.name(name);
            self.out.push('"');
            STANDARD.encode_string(value, &mut self.out);
            self.out.push('"');
        }
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
            self.new_line();
        }
        self.indent();
        self.out.push('"');
        self.out.push_str(name);
        self.out
            .push_str(if self.level.is_some() { "\": " } else { "\":" });
    }

    fn new_line(&mut self) {
        if self.level.is_some() {
            self.out.push('\n');
        }
    }

    fn indent(&mut self) {
        for _ in 0..self.level.unwrap_or(0) {
            self.out.push_str("  ");
        }
    }

    fn quoted(&mut self, text: &str) {
        self.out.push('"');
        for char in text.chars() {
            match char {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\u{c}' => self.out.push_str("\\f"),
                '\0'..='\x1f' | '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' => {
                    self.out.push_str(&format!("\\u{:04x}", u32::from(char)));
                }
                char => self.out.push(char),
            }
        }
        self.out.push('"');
    }
}
