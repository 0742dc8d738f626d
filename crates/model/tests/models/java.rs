//! Writes what a Java 8 node's `ObjectOutputStream` writes for its two stores, byte for byte (contract 01 App. B).

use std::collections::HashMap;

const MAP: &str = "java.util.concurrent.ConcurrentHashMap";
const MAP_SUID: u64 = 7249069246763182397;
const MODEL: &str = "com.webank.ai.fate.serving.common.model.Model";

/// One entry of the load store.
#[derive(Debug, Clone)]
pub(crate) struct JavaModel {
    pub table_name: String,
    pub namespace: String,
    pub role: Option<String>,
    pub party_id: String,
    pub timestamp: i64,
    pub resource_address: Option<String>,
    /// Built on first use; some nodes hold `-1`.
    pub resource_name: Option<String>,
    pub allow_qps: Option<f64>,
    pub partners: Vec<JavaModel>,
    pub origin: Origin,
}

/// How the model came to the node: it shows in the classes and lists of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Load,
    /// fetchModel: read from JSON, with the list of parties that the source had filled in.
    Fetch,
}

/// Which classes the node's code had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// The files of 2020: no `resourceAdress`.
    Of2020,
    /// 2.1.7.
    Current,
}

/// The root map as JDK 8 writes it, with its sixteen segments, or the shortest that Java accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RootMap {
    Segments,
    Minimal,
}

pub(crate) fn bind_store(root: RootMap, bindings: &[(&str, &str)]) -> Vec<u8> {
    let mut stream = JavaStream::new(root);
    for (service_id, key) in bindings {
        stream.text(service_id);
        // As after a restart of Java: what was one text in the file it read is one object.
        stream.shared(&format!("model {key}"), key);
    }
    stream.end()
}

pub(crate) fn load_store(root: RootMap, age: Age, models: &[JavaModel]) -> Vec<u8> {
    let mut stream = JavaStream::new(root);
    for model in models {
        stream.text(&format!("{}_{}", model.table_name, model.namespace));
        let identity = format!("own party id of {}_{}", model.table_name, model.namespace);
        stream.model(model, age, &identity);
    }
    stream.end()
}

struct JavaStream {
    out: Vec<u8>,
    next: u32,
    /// Classes, and texts that were one object in Java: literals and the like.
    handles: HashMap<String, u32>,
}

impl JavaStream {
    fn new(root: RootMap) -> JavaStream {
        let mut stream = JavaStream {
            out: vec![0xac, 0xed, 0x00, 0x05, 0x73],
            next: 0x7e_0000,
            handles: HashMap::new(),
        };
        match root {
            RootMap::Segments => stream.segments(),
            RootMap::Minimal => {
                stream.class(MAP, MAP_SUID, 3, &[], &[0x70]);
                stream.take_handle();
            }
        }
        stream
    }

    fn end(mut self) -> Vec<u8> {
        self.out.extend([0x70, 0x70, 0x78]);
        self.out
    }

    fn segments(&mut self) {
        const SEGMENT: &str = "java.util.concurrent.ConcurrentHashMap$Segment";
        const LOCKS: &str = "java.util.concurrent.locks.";
        let fields = [
            ("I", "segmentMask", ""),
            ("I", "segmentShift", ""),
            (
                "[",
                "segments",
                "[Ljava/util/concurrent/ConcurrentHashMap$Segment;",
            ),
        ];
        self.class(MAP, MAP_SUID, 3, &fields, &[0x70]);
        self.take_handle();
        self.out.extend(15u32.to_be_bytes());
        self.out.extend(28u32.to_be_bytes());
        self.out.push(0x75);
        self.class(
            &format!("[L{SEGMENT};"),
            5942287782593116532,
            2,
            &[],
            &[0x70],
        );
        self.take_handle();
        self.out.extend(16u32.to_be_bytes());
        for index in 0..16 {
            self.out.push(0x73);
            self.class(
                SEGMENT,
                2249069246763182397,
                2,
                &[("F", "loadFactor", "")],
                &[],
            );
            if index == 0 {
                let sync = [(
                    "L",
                    "sync",
                    "Ljava/util/concurrent/locks/ReentrantLock$Sync;",
                )];
                self.class(
                    &format!("{LOCKS}ReentrantLock"),
                    7373984872572414699,
                    2,
                    &sync,
                    &[0x70],
                );
            }
            self.take_handle();
            self.out.push(0x73);
            let nonfair = format!("{LOCKS}ReentrantLock$NonfairSync");
            self.class(&nonfair, 7316153563782823691, 2, &[], &[]);
            if index == 0 {
                let suid = (-5179523762034025860i64) as u64;
                self.class(&format!("{LOCKS}ReentrantLock$Sync"), suid, 2, &[], &[]);
                let queued = format!("{LOCKS}AbstractQueuedSynchronizer");
                self.class(&queued, 7373984972572414691, 2, &[("I", "state", "")], &[]);
                let ownable = format!("{LOCKS}AbstractOwnableSynchronizer");
                self.class(&ownable, 3737899427754241961, 2, &[], &[0x70]);
            }
            self.take_handle();
            self.out.extend(0u32.to_be_bytes());
            self.out.extend(0.75f32.to_be_bytes());
        }
    }

    /// `party_id` tells which text object the party id is.
    fn model(&mut self, model: &JavaModel, age: Age, party_id: &str) {
        self.out.push(0x73);
        self.class(MODEL, 1, 2, &model_fields(age), &[0x70]);
        self.take_handle();
        self.out.extend(model.timestamp.to_be_bytes());
        self.optional_double(model.allow_qps);
        self.partners(model, age);
        self.text(&model.namespace);
        self.shared(party_id, &model.party_id);
        if age == Age::Current {
            self.optional(model.resource_address.as_deref());
        }
        self.optional(model.resource_name.as_deref());
        match &model.role {
            Some(role) => self.shared(role, role),
            None => self.out.push(0x70),
        }
        match model.origin {
            Origin::Load => {
                self.out.push(0x70);
                self.list_head(0, 0);
            }
            Origin::Fetch => {
                self.role_parties(model, party_id);
                self.list_head(1, 1);
                self.text("lr-test");
            }
        }
        self.out.push(0x78);
        self.text(&model.table_name);
    }

    /// `[{role, partId}, …]`: the texts are those of the model and of its stubs.
    fn role_parties(&mut self, model: &JavaModel, own_party_id: &str) {
        let own = (
            model.role.clone(),
            model.party_id.clone(),
            own_party_id.to_owned(),
        );
        let others = model.partners.iter().map(|partner| {
            let identity = stub_party_id(model, partner);
            (partner.role.clone(), partner.party_id.clone(), identity)
        });
        let parties: Vec<_> = std::iter::once(own).chain(others).collect();
        self.list_head(parties.len(), 10);
        for (role, party_id, identity) in parties {
            self.hash_map_head("java.util.HashMap", 2);
            self.shared("literal role", "role");
            match role {
                Some(role) => self.shared(&role, &role),
                None => self.out.push(0x70),
            }
            self.shared("literal partId", "partId");
            self.shared(&identity, &party_id);
            self.out.push(0x78);
        }
        self.out.push(0x78);
    }

    fn partners(&mut self, model: &JavaModel, age: Age) {
        let class = match model.origin {
            Origin::Load => "java.util.HashMap",
            Origin::Fetch => "java.util.LinkedHashMap",
        };
        self.hash_map_head(class, model.partners.len());
        for partner in &model.partners {
            // The key of the map and the party id of the stub are one object.
            let identity = stub_party_id(model, partner);
            self.shared(&identity, &partner.party_id);
            self.model(partner, age, &identity);
        }
        self.out.push(0x78);
        if model.origin == Origin::Fetch {
            // The linked map's own field: not in the order of access.
            self.out.push(0);
        }
    }

    /// Up to its entries; they follow, then 0x78.
    fn hash_map_head(&mut self, class: &str, entries: usize) {
        const HASH_MAP: &str = "java.util.HashMap";
        let fields = [("F", "loadFactor", ""), ("I", "threshold", "")];
        self.out.push(0x73);
        if class == HASH_MAP {
            self.class(HASH_MAP, 362498820763181265, 3, &fields, &[0x70]);
        } else if !self.reference(class) {
            let own = [("Z", "accessOrder", "")];
            self.class(class, 3801124242820219131, 2, &own, &[]);
            self.class(HASH_MAP, 362498820763181265, 3, &fields, &[0x70]);
        }
        self.take_handle();
        self.out.extend(0.75f32.to_be_bytes());
        let threshold: u32 = if entries == 0 { 0 } else { 12 };
        self.out.extend(threshold.to_be_bytes());
        self.out.extend([0x77, 8]);
        self.out.extend(16u32.to_be_bytes());
        self.out.extend((entries as u32).to_be_bytes());
    }

    /// Up to the elements of an ArrayList; they follow, then 0x78.
    fn list_head(&mut self, elements: usize, capacity: u32) {
        self.out.push(0x73);
        let fields = [("I", "size", "")];
        self.class(
            "java.util.ArrayList",
            8683452581122892189,
            3,
            &fields,
            &[0x70],
        );
        self.take_handle();
        self.out.extend((elements as u32).to_be_bytes());
        self.out.extend([0x77, 4]);
        self.out.extend(capacity.to_be_bytes());
    }

    fn optional_double(&mut self, number: Option<f64>) {
        let Some(number) = number else {
            self.out.push(0x70);
            return;
        };
        self.out.push(0x73);
        if !self.reference("java.lang.Double") {
            let value = [("D", "value", "")];
            self.class("java.lang.Double", 0x80b3_c24a_296b_fb04, 2, &value, &[]);
            self.class("java.lang.Number", 0x86ac_951d_0b94_e08b, 2, &[], &[0x70]);
        }
        self.take_handle();
        self.out.extend(number.to_be_bytes());
    }

    /// A class, the second time a reference to it. `after` follows its annotation: a null super class, or nothing when
    /// the caller writes the super class next.
    fn class(
        &mut self,
        name: &str,
        suid: u64,
        flags: u8,
        fields: &[(&str, &str, &str)],
        after: &[u8],
    ) {
        if self.reference(name) {
            return;
        }
        self.out.push(0x72);
        self.utf(name);
        self.out.extend(suid.to_be_bytes());
        let handle = self.take_handle();
        self.handles.insert(name.to_owned(), handle);
        self.out.push(flags);
        self.out.extend((fields.len() as u16).to_be_bytes());
        for (kind, field, class) in fields {
            self.out.extend(kind.as_bytes());
            self.utf(field);
            if !class.is_empty() {
                self.shared(class, class);
            }
        }
        self.out.push(0x78);
        self.out.extend(after);
    }

    fn text(&mut self, text: &str) {
        self.out.push(0x74);
        self.utf(text);
        self.take_handle();
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.out.push(0x70),
        }
    }

    fn shared(&mut self, identity: &str, text: &str) {
        if !self.reference(identity) {
            self.handles.insert(identity.to_owned(), self.next);
            self.text(text);
        }
    }

    fn reference(&mut self, identity: &str) -> bool {
        let Some(handle) = self.handles.get(identity) else {
            return false;
        };
        self.out.push(0x71);
        self.out.extend(handle.to_be_bytes());
        true
    }

    fn take_handle(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Modified UTF-8 is UTF-8 for the texts used here: no NUL, nothing beyond U+FFFF.
    fn utf(&mut self, text: &str) {
        self.out.extend((text.len() as u16).to_be_bytes());
        self.out.extend(text.as_bytes());
    }
}

fn stub_party_id(model: &JavaModel, partner: &JavaModel) -> String {
    format!(
        "party id {} in {}_{}",
        partner.party_id, model.table_name, model.namespace
    )
}

fn model_fields(age: Age) -> Vec<(&'static str, &'static str, &'static str)> {
    const TEXT: &str = "Ljava/lang/String;";
    let mut fields = vec![
        ("J", "timestamp", ""),
        ("L", "allowQps", "Ljava/lang/Double;"),
        ("L", "federationModelMap", "Ljava/util/Map;"),
        ("L", "namespace", TEXT),
        ("L", "partId", TEXT),
        ("L", "resourceName", TEXT),
        ("L", "role", TEXT),
        ("L", "rolePartyMapList", "Ljava/util/List;"),
        ("L", "serviceIds", "Ljava/util/List;"),
        ("L", "tableName", TEXT),
    ];
    if age == Age::Current {
        fields.insert(5, ("L", "resourceAdress", TEXT));
    }
    fields
}
