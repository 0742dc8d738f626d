//! Reading and changing the route table's file on behalf of an administrator (contract 04 A.5.5).
//!
//! A change is checked as the loader would check it, written whole beside the file, renamed over it, and in force when
//! the call returns. The file before it stays as `<name>.bak`. All methods do blocking I/O.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use parking_lot::Mutex;

use super::document::{self, Change};
use super::{LoadError, RouteTable, RunningTable};
use crate::lenient_json::{self, Node, Value};
use crate::watched_file;

/// Changes the file of the running table, one change at a time.
#[derive(Debug)]
pub struct RouteEditor {
    table: Arc<RunningTable>,
    writing: Mutex<()>,
}

impl RouteEditor {
    /// An editor of the table's file.
    pub fn new(table: Arc<RunningTable>) -> Self {
        Self {
            table,
            writing: Mutex::default(),
        }
    }

    /// The document in the file as compact JSON.
    ///
    /// # Errors
    /// 132: there is no file, or it holds no JSON object.
    pub fn query(&self) -> Result<String, Fault> {
        Ok(self.read()?.compact())
    }

    /// Replaces the whole document.
    ///
    /// # Errors
    /// 133: the document is no route table or adds an address that cannot be used, or the file cannot be written.
    pub fn save(&self, document: &str) -> Result<(), Fault> {
        let _one_at_a_time = self.writing.lock();
        let node = lenient_json::parse(document.as_bytes()).map_err(invalid)?;
        self.write(&node)
    }

    /// Adds addresses: `{"partyId":…,"serverType":…,"ip":…,"port":…}` with any other member of an address, or a list
    /// of such objects.
    ///
    /// # Errors
    /// 133: an address is there already, or as in [`Self::save`].
    pub fn add(&self, request: &str) -> Result<(), Fault> {
        self.edit(request, Change::add_to)
    }

    /// Replaces addresses, found by `ip` and `port` or by `url`.
    ///
    /// # Errors
    /// 133: an address is not there, or as in [`Self::save`].
    pub fn update(&self, request: &str) -> Result<(), Fault> {
        self.edit(request, Change::update_in)
    }

    /// Takes addresses out; without `serverType` the whole party.
    ///
    /// # Errors
    /// 133: an address is not there, or as in [`Self::save`].
    pub fn delete(&self, request: &str) -> Result<(), Fault> {
        self.edit(request, Change::delete_from)
    }

    /// `updateConfig`: the route table is the only file it may write.
    ///
    /// # Errors
    /// 110: a blank argument or another file; 133 as in [`Self::save`].
    pub fn update_config(&self, file_path: &str, data: &str) -> Result<(), Fault> {
        let refuse = |text: &str| Err(Fault::new(ReturnCode::SYSTEM, text));
        if file_path.trim().is_empty() {
            return refuse("file path is blank");
        }
        if data.trim().is_empty() {
            return refuse("data is blank");
        }
        if !is_same_file(Path::new(file_path), self.table.path()) {
            return refuse("only the route table may be written");
        }
        self.save(data)
    }

    fn edit(
        &self,
        request: &str,
        apply: impl Fn(&Change, &mut Node, i64) -> Result<(), String>,
    ) -> Result<(), Fault> {
        // First of all: what is read takes several times the memory of its text.
        let _one_at_a_time = self.writing.lock();
        let changes = document::changes(request).map_err(refused)?;
        let mut document = self.read()?;
        for change in &changes {
            apply(change, &mut document, now_ms()).map_err(refused)?;
        }
        self.write(&document)
    }

    fn read(&self) -> Result<Node, Fault> {
        let fault = |cause: String| Fault::new(ReturnCode::PROXY_LOAD_ROUTER_TABLE, cause);
        let content = match watched_file::read(self.table.path(), lenient_json::MAX_BYTES) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(fault("proxy load router table error".to_owned()));
            }
            Err(error) => return Err(fault(format!("proxy load router table error: {error}"))),
        };
        match lenient_json::parse(&content) {
            Ok(node) if matches!(node.value, Value::Object(_)) => Ok(node),
            Ok(_) => Err(fault(
                "proxy load router table error: not a JSON object".to_owned(),
            )),
            Err(error) => Err(fault(format!("proxy load router table error: {error}"))),
        }
    }

    fn write(&self, document: &Node) -> Result<(), Fault> {
        let text = document.pretty();
        let table =
            RouteTable::parse(text.as_bytes(), self.table.own_addresses()).map_err(invalid)?;
        self.refuse_new_faults(&table)?;
        watched_file::replace(self.table.path(), text.as_bytes())
            .map_err(|error| refused(format!("route_table.json : {error}")))?;
        tracing::info!(file = %self.table.path().display(), "route table saved");
        match self.table.reload() {
            Ok(_) => Ok(()),
            Err(
                error @ (LoadError::Missing(_)
                | LoadError::Unreadable { .. }
                | LoadError::Format { .. }),
            ) => Err(refused(error.to_string())),
        }
    }

    /// Faults that the table in force has may stay: a table that was taken over must not become unchangeable.
    fn refuse_new_faults(&self, table: &RouteTable) -> Result<(), Fault> {
        let running = self.table.current();
        let known: HashSet<&str> = running
            .iter()
            .flat_map(|table| table.faults())
            .map(|fault| fault.text.as_str())
            .collect();
        match table.faults().find(|fault| !known.contains(&*fault.text)) {
            Some(fault) => Err(invalid(fault)),
            None => Ok(()),
        }
    }
}

fn refused(text: String) -> Fault {
    Fault::new(ReturnCode::PROXY_UPDATE_ROUTER_TABLE, text)
}

fn invalid(cause: impl std::fmt::Display) -> Fault {
    refused(format!("validate route_table.json format error:{cause}"))
}

fn is_same_file(left: &Path, right: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path);
    left == right || matches!((real(left), real(right)), (Ok(left), Ok(right)) if left == right)
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
