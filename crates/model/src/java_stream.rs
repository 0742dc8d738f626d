//! Reads a Java serialization stream (version 5) into plain values, without knowing any class (contract 01 App. B).
//! Depth and number of records are bounded, nothing is allocated by an announced length.

use std::sync::Arc;

const MAGIC: [u8; 4] = [0xac, 0xed, 0x00, 0x05];
const FIRST_HANDLE: u32 = 0x7e_0000;
const MAX_DEPTH: usize = 100;
const MAX_RECORDS: usize = 1_000_000;
const MAX_SUPER_CLASSES: usize = 32;

const SC_WRITE_METHOD: u8 = 0x01;
const SC_SERIALIZABLE: u8 = 0x02;
const SC_EXTERNALIZABLE: u8 = 0x04;
const SC_BLOCK_DATA: u8 = 0x08;

/// A value of a field, an array or an annotation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Raw bytes that a class wrote among its objects.
    Block,
    /// A record of the stream.
    Record(usize),
}

#[derive(Debug)]
pub(crate) enum Record {
    /// Its content is still being read.
    Pending,
    Text(String),
    Object(Object),
    /// Arrays, enums and class objects are read over: nothing we look for is in them.
    Opaque,
    Class(Arc<Class>),
}

#[derive(Debug)]
pub(crate) struct Object {
    class: Arc<Class>,
    fields: Vec<(Arc<str>, Value)>,
    /// What the class wrote itself (`writeObject`): the content of maps and lists.
    annotation: Vec<Value>,
}

#[derive(Debug)]
pub(crate) struct Class {
    name: String,
    flags: u8,
    fields: Vec<(u8, Arc<str>)>,
    super_class: Option<Arc<Class>>,
}

/// The whole stream; `root` is its first object.
#[derive(Debug)]
pub(crate) struct Stream {
    records: Vec<Record>,
    root: Value,
}

impl Stream {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Stream, String> {
        let mut parser = Parser {
            bytes,
            at: 0,
            records: Vec::new(),
            handles: Vec::new(),
            depth: 0,
        };
        if parser.take(4)? != MAGIC {
            return Err("not a Java serialization stream".to_owned());
        }
        let root = parser
            .content()
            .map_err(|cause| format!("byte {}: {cause}", parser.at))?;
        Ok(Stream {
            records: parser.records,
            root,
        })
    }

    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    pub(crate) fn text(&self, value: &Value) -> Option<&str> {
        match self.record(value)? {
            Record::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn object(&self, value: &Value) -> Option<&Object> {
        match self.record(value)? {
            Record::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The pairs of a java.util map, up to the null key that ends a ConcurrentHashMap.
    pub(crate) fn map_entries<'a>(
        &'a self,
        value: &Value,
    ) -> Option<impl Iterator<Item = (&'a Value, &'a Value)>> {
        let object = self.object(value)?;
        let is_map = matches!(
            object.class.name.as_str(),
            "java.util.concurrent.ConcurrentHashMap"
                | "java.util.HashMap"
                | "java.util.LinkedHashMap"
        );
        if !is_map {
            return None;
        }
        let mut values = object
            .annotation
            .iter()
            .filter(|value| **value != Value::Block);
        Some(std::iter::from_fn(move || {
            let key = values.next().filter(|key| **key != Value::Null)?;
            Some((key, values.next()?))
        }))
    }

    fn record(&self, value: &Value) -> Option<&Record> {
        match value {
            Value::Record(index) => self.records.get(*index),
            _ => None,
        }
    }
}

impl Object {
    pub(crate) fn class_name(&self) -> &str {
        &self.class.name
    }

    pub(crate) fn field(&self, name: &str) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(field, _)| **field == *name)
            .map(|(_, value)| value)
    }
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    records: Vec<Record>,
    /// Handle of the stream -> record; a reset of the stream starts a new list.
    handles: Vec<usize>,
    depth: usize,
}

impl Parser<'_> {
    fn content(&mut self) -> Result<Value, String> {
        let tag = self.u8()?;
        self.tagged(tag)
    }

    fn tagged(&mut self, tag: u8) -> Result<Value, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("objects are nested deeper than {MAX_DEPTH}"));
        }
        self.depth += 1;
        let value = match tag {
            0x70 => Ok(Value::Null),
            0x71 => self.reference().map(Value::Record),
            0x72 | 0x7d => self
                .class_of_tag(tag)
                .map(|(_, index)| Value::Record(index)),
            0x73 => self.object(),
            0x74 => self
                .u16()
                .and_then(|length| self.text_record(u64::from(length))),
            0x75 => self.array(),
            0x76 => self.class_object(),
            0x77 => self.u8().and_then(|length| self.block(length as usize)),
            0x79 => {
                self.handles.clear();
                self.content()
            }
            0x7a => self.u32().and_then(|length| self.block(length as usize)),
            0x7c => self.u64().and_then(|length| self.text_record(length)),
            0x7e => self.enumeration(),
            other => Err(format!("unexpected type code {other:#04x}")),
        };
        self.depth -= 1;
        value
    }

    fn block(&mut self, length: usize) -> Result<Value, String> {
        self.take(length)?;
        Ok(Value::Block)
    }

    fn reference(&mut self) -> Result<usize, String> {
        let handle = self.u32()?;
        let index = handle
            .checked_sub(FIRST_HANDLE)
            .and_then(|index| self.handles.get(index as usize));
        index
            .copied()
            .ok_or_else(|| format!("reference {handle:#x} leads nowhere"))
    }

    fn text_record(&mut self, length: u64) -> Result<Value, String> {
        let length =
            usize::try_from(length).map_err(|_| "a text is longer than the stream".to_owned())?;
        let text = modified_utf8(self.take(length)?)?;
        self.new_record(Record::Text(text)).map(Value::Record)
    }

    fn object(&mut self) -> Result<Value, String> {
        let class = self.class()?.ok_or("an object without a class")?;
        let index = self.new_record(Record::Pending)?;
        let mut object = Object {
            class: Arc::clone(&class),
            fields: Vec::new(),
            annotation: Vec::new(),
        };
        for level in hierarchy(&class)? {
            self.class_data(&level, &mut object)?;
        }
        self.records[index] = Record::Object(object);
        Ok(Value::Record(index))
    }

    fn class_data(&mut self, class: &Class, object: &mut Object) -> Result<(), String> {
        if class.flags & SC_SERIALIZABLE != 0 {
            for (kind, name) in &class.fields {
                let value = self.value_of_kind(*kind)?;
                object.fields.push((Arc::clone(name), value));
            }
            if class.flags & SC_WRITE_METHOD != 0 {
                self.annotation(&mut object.annotation)?;
            }
        } else if class.flags & SC_EXTERNALIZABLE != 0 {
            if class.flags & SC_BLOCK_DATA == 0 {
                return Err(format!(
                    "class {} has a form that cannot be read generically",
                    class.name
                ));
            }
            self.annotation(&mut object.annotation)?;
        }
        Ok(())
    }

    fn annotation(&mut self, values: &mut Vec<Value>) -> Result<(), String> {
        loop {
            let tag = self.u8()?;
            if tag == 0x78 {
                return Ok(());
            }
            values.push(self.tagged(tag)?);
        }
    }

    fn array(&mut self) -> Result<Value, String> {
        let class = self.class()?.ok_or("an array without a class")?;
        let index = self.new_record(Record::Opaque)?;
        let kind = *class
            .name
            .as_bytes()
            .get(1)
            .ok_or("an array of unknown type")?;
        let length = self.u32()?;
        for _ in 0..length {
            self.value_of_kind(kind)?;
        }
        Ok(Value::Record(index))
    }

    fn enumeration(&mut self) -> Result<Value, String> {
        self.class()?;
        let index = self.new_record(Record::Opaque)?;
        self.content()?;
        Ok(Value::Record(index))
    }

    fn class_object(&mut self) -> Result<Value, String> {
        self.class()?;
        self.new_record(Record::Opaque).map(Value::Record)
    }

    fn value_of_kind(&mut self, kind: u8) -> Result<Value, String> {
        Ok(match kind {
            b'B' => Value::Integer(i64::from(self.u8()? as i8)),
            b'C' => Value::Integer(i64::from(self.u16()?)),
            b'S' => Value::Integer(i64::from(self.u16()? as i16)),
            b'I' => Value::Integer(i64::from(self.u32()? as i32)),
            b'J' => Value::Integer(self.u64()? as i64),
            b'Z' => Value::Bool(self.u8()? != 0),
            b'F' => Value::Float(f64::from(f32::from_bits(self.u32()?))),
            b'D' => Value::Float(f64::from_bits(self.u64()?)),
            b'L' | b'[' => self.content()?,
            other => return Err(format!("unknown field type {other:#04x}")),
        })
    }

    fn class(&mut self) -> Result<Option<Arc<Class>>, String> {
        match self.u8()? {
            0x70 => Ok(None),
            0x71 => {
                let index = self.reference()?;
                match self.records.get(index) {
                    Some(Record::Class(class)) => Ok(Some(Arc::clone(class))),
                    _ => Err("a reference to a class leads to something else".to_owned()),
                }
            }
            tag @ (0x72 | 0x7d) => {
                // A class may name a new super class, and that one another.
                if self.depth >= MAX_DEPTH {
                    return Err(format!("classes are nested deeper than {MAX_DEPTH}"));
                }
                self.depth += 1;
                let class = self.class_of_tag(tag).map(|(class, _)| Some(class));
                self.depth -= 1;
                class
            }
            other => Err(format!("unexpected type code {other:#04x} for a class")),
        }
    }

    fn class_of_tag(&mut self, tag: u8) -> Result<(Arc<Class>, usize), String> {
        let (index, name, flags, fields) = if tag == 0x72 {
            self.plain_class()?
        } else {
            self.proxy_class()?
        };
        self.annotation(&mut Vec::new())?;
        let super_class = self.class()?;
        let class = Arc::new(Class {
            name,
            flags,
            fields,
            super_class,
        });
        self.records[index] = Record::Class(Arc::clone(&class));
        Ok((class, index))
    }

    #[allow(
        clippy::type_complexity,
        reason = "the parts of a class before its annotation"
    )]
    fn plain_class(&mut self) -> Result<(usize, String, u8, Vec<(u8, Arc<str>)>), String> {
        let name = self.short_text()?;
        self.u64()?;
        let index = self.new_record(Record::Pending)?;
        let flags = self.u8()?;
        let count = self.u16()?;
        let mut fields = Vec::new();
        for _ in 0..count {
            let kind = self.u8()?;
            let field = self.short_text()?;
            if matches!(kind, b'L' | b'[') {
                self.content()?;
            }
            fields.push((kind, Arc::from(field)));
        }
        Ok((index, name, flags, fields))
    }

    #[allow(
        clippy::type_complexity,
        reason = "the parts of a class before its annotation"
    )]
    fn proxy_class(&mut self) -> Result<(usize, String, u8, Vec<(u8, Arc<str>)>), String> {
        let index = self.new_record(Record::Pending)?;
        let count = self.u32()?;
        for _ in 0..count {
            self.short_text()?;
        }
        Ok((index, "(proxy)".to_owned(), SC_SERIALIZABLE, Vec::new()))
    }

    fn new_record(&mut self, record: Record) -> Result<usize, String> {
        if self.records.len() >= MAX_RECORDS {
            return Err(format!("more than {MAX_RECORDS} objects"));
        }
        let index = self.records.len();
        self.records.push(record);
        self.handles.push(index);
        Ok(index)
    }

    fn short_text(&mut self) -> Result<String, String> {
        let length = self.u16()?;
        modified_utf8(self.take(length as usize)?)
    }

    fn take(&mut self, length: usize) -> Result<&[u8], String> {
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())
            .ok_or("the stream is cut off")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    fn u8(&mut self) -> Result<u8, String> {
        self.array_of().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array_of().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array_of().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array_of().map(u64::from_be_bytes)
    }
}

/// The class and its super classes, the topmost first: the order of their data.
fn hierarchy(class: &Arc<Class>) -> Result<Vec<Arc<Class>>, String> {
    let mut levels = vec![Arc::clone(class)];
    let mut next = class.super_class.as_ref();
    while let Some(class) = next {
        if levels.len() > MAX_SUPER_CLASSES {
            return Err(format!("more than {MAX_SUPER_CLASSES} super classes"));
        }
        levels.push(Arc::clone(class));
        next = class.super_class.as_ref();
    }
    levels.reverse();
    Ok(levels)
}

/// Java's modified UTF-8: UTF-16 units of one to three bytes each, NUL as two.
fn modified_utf8(bytes: &[u8]) -> Result<String, String> {
    let bad = || "a text is not modified UTF-8".to_owned();
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let continuation = |byte: u8| (byte & 0xc0 == 0x80).then_some(u16::from(byte & 0x3f));
        let (unit, tail) = match rest {
            [] => break,
            [a, tail @ ..] if *a < 0x80 => (u16::from(*a), tail),
            [a, b, tail @ ..] if a & 0xe0 == 0xc0 => (
                u16::from(a & 0x1f) << 6 | continuation(*b).ok_or_else(bad)?,
                tail,
            ),
            [a, b, c, tail @ ..] if a & 0xf0 == 0xe0 => {
                let (b, c) = (
                    continuation(*b).ok_or_else(bad)?,
                    continuation(*c).ok_or_else(bad)?,
                );
                (u16::from(a & 0x0f) << 12 | b << 6 | c, tail)
            }
            _ => return Err(bad()),
        };
        units.push(unit);
        rest = tail;
    }
    String::from_utf16(&units).map_err(|_| bad())
}
