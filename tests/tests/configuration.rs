//! `docs/*/configuration.md`: every key of the servers' and proxies' tables, in English and Chinese, made from the code.
//!
//! `UPDATE=1 cargo test -p fate-tests --test configuration` writes the pages. Chinese texts are in
//! `data/configuration.zh.tsv`, by their English text: one that is changed or new stands in English until it is translated.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]
#![allow(
    clippy::print_stderr,
    reason = "what is left out is told to whoever looks into a run"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use fate_edge::config::{Fallback, Key, Kind, Treatment};
use fate_server::config::{SOURCE_PREFIX, SOURCE_SETTINGS};

const TRANSLATIONS: &str = "tests/data/configuration.zh.tsv";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One language of the reference.
struct Language {
    page: &'static str,
    head: &'static str,
    server: &'static str,
    proxy: &'static str,
    columns: [&'static str; 3],
    sources: &'static str,
    ignored: &'static str,
    words: BTreeMap<&'static str, &'static str>,
    texts: BTreeMap<String, String>,
}

fn english() -> Language {
    Language {
        page: "docs/en/configuration.md",
        head: "# Configuration\n\n\
            <!-- Made from the code: UPDATE=1 cargo test -p fate-tests --test configuration -->\n\n\
            Java properties files; values are trimmed. A wrong value stops the start and is named with file, line and key, a key that\n\
            does not exist is named and passed over. `--check-config` tells both and starts nothing; `fate-serving doctor` tries what a file\n\
            asks for. Examples and more words: [serving-server.properties](../../conf/serving-server.properties) and\n\
            [application.properties](../../conf/application.properties). 中文: [configuration.md](../zh/configuration.md).\n",
        server: "## Server: serving-server.properties",
        proxy: "## Proxy: application.properties",
        columns: ["key", "default", "meaning"],
        sources: "Each feature source that `feature.sources` names:",
        ignored: "Keys of the Java process that are read and checked and change nothing here:",
        words: BTreeMap::new(),
        texts: BTreeMap::new(),
    }
}

fn chinese() -> Language {
    let table = std::fs::read_to_string(root().join(TRANSLATIONS)).unwrap();
    let texts = table.lines().map(|line| {
        let (english, chinese) = line
            .split_once('\t')
            .unwrap_or_else(|| panic!("no tab: {line}"));
        (english.to_owned(), chinese.to_owned())
    });
    Language {
        page: "docs/zh/configuration.md",
        head: "# 配置参考\n\n\
            <!-- 由代码生成：UPDATE=1 cargo test -p fate-tests --test configuration -->\n\n\
            配置文件为 Java properties 格式，值的首尾空白会被去掉。取值错误时进程不会启动，并指出文件、行号和键；不存在的键会被提示并忽略。\n\
            `--check-config` 只检查、不启动；`fate-serving doctor` 会逐一尝试文件里要求的东西。示例与更多说明见\n\
            [serving-server.properties](../../conf/serving-server.properties) 和\n\
            [application.properties](../../conf/application.properties)。English: [configuration.md](../en/configuration.md).\n",
        server: "## serving-server：serving-server.properties",
        proxy: "## serving-proxy：application.properties",
        columns: ["键", "默认值", "含义"],
        sources: "`feature.sources` 中每个特征来源的键：",
        ignored: "以下是 Java 进程的键：会读取并检查，但在这里不起作用。",
        words: BTreeMap::from([
            ("secret", "机密，不会被显示"),
            ("unset", "未设置"),
            ("processors", "处理器个数"),
            ("from", "不小于"),
            ("to", "到"),
            (": ", "："),
        ]),
        texts: texts.collect(),
    }
}

impl Language {
    fn word(&self, english: &'static str) -> &'static str {
        self.words.get(english).copied().unwrap_or(english)
    }

    fn text<'a>(&'a self, english: &'a str) -> &'a str {
        self.texts.get(english).map_or(english, String::as_str)
    }

    /// What a value looks like, where neither its default nor its meaning says so.
    fn values(&self, kind: Kind) -> Option<String> {
        match kind {
            Kind::Number { min, max } if max >= i64::from(i32::MAX) => {
                (min > 1).then(|| format!("{} {min}", self.word("from")))
            }
            Kind::Number { min, max } => Some(format!("{min} {} {max}", self.word("to"))),
            Kind::Flag => Some("true, false".to_owned()),
            Kind::Choice(words) => Some(words.join(", ")),
            Kind::Secret => Some(self.word("secret").to_owned()),
            _ => None,
        }
    }

    fn default(&self, key: &Key) -> String {
        match key.fallback {
            Fallback::Unset => self.word("unset").to_owned(),
            Fallback::Is(text) => format!("`{text}`"),
            Fallback::Processors(1) => self.word("processors").to_owned(),
            Fallback::Processors(times) => format!("{times} × {}", self.word("processors")),
        }
    }

    fn row(&self, key: &Key, prefix: &str) -> String {
        let mut meaning = self.text(key.doc).to_owned();
        if let Treatment::Ignored(reason) = key.treatment {
            let joint = self.word(": ");
            meaning = format!("{meaning}{joint}{}", self.text(reason));
        } else if let Some(values) = self.values(key.kind) {
            meaning = format!("{meaning} ({values})");
        }
        let default = self.default(key);
        format!(
            "| `{prefix}{}` | {default} | {} |\n",
            key.name,
            meaning.replace('|', "\\|")
        )
    }

    fn table(&self, keys: &[Key], prefix: &str, are_honoured: bool) -> String {
        let [key, default, meaning] = self.columns;
        let mut table = format!("| {key} | {default} | {meaning} |\n|---|---|---|\n");
        keys.iter()
            .filter(|key| (key.treatment == Treatment::Honoured) == are_honoured)
            .for_each(|key| table.push_str(&self.row(key, prefix)));
        table
    }

    fn reference(&self) -> String {
        let sources = format!(
            "\n{}\n\n{}",
            self.sources,
            self.table(SOURCE_SETTINGS, &format!("{SOURCE_PREFIX}NAME."), true)
        );
        let mut page = self.head.to_owned();
        for (title, keys, more) in [
            (self.server, fate_server::config::KEYS, sources.as_str()),
            (self.proxy, fate_proxy::config::KEYS, ""),
        ] {
            let honoured = self.table(keys, "", true);
            let ignored = self.table(keys, "", false);
            let reason = self.ignored;
            write!(page, "\n{title}\n\n{honoured}{more}\n{reason}\n\n{ignored}").unwrap();
        }
        page
    }
}

/// Everything that the tables of keys say.
fn said() -> Vec<&'static str> {
    let keys = fate_server::config::KEYS
        .iter()
        .chain(SOURCE_SETTINGS)
        .chain(fate_proxy::config::KEYS);
    keys.flat_map(|key| match key.treatment {
        Treatment::Ignored(reason) => vec![key.doc, reason],
        Treatment::Honoured => vec![key.doc],
    })
    .collect()
}

/// Leaves out the texts that nothing says any more.
fn tidy_translations() {
    let said = said();
    let table = std::fs::read_to_string(root().join(TRANSLATIONS)).unwrap();
    let kept = table.lines().filter(|line| {
        let english = line.split_once('\t').map(|(english, _)| english);
        english.is_some_and(|english| said.contains(&english))
    });
    let kept: String = kept.map(|line| format!("{line}\n")).collect();
    std::fs::write(root().join(TRANSLATIONS), kept).unwrap();
}

#[test]
fn the_reference_is_that_of_the_code() {
    let is_update = std::env::var_os("UPDATE").is_some();
    if is_update {
        tidy_translations();
    }
    for language in [english(), chinese()] {
        let path = root().join(language.page);
        let reference = language.reference();
        if is_update {
            std::fs::write(&path, &reference).unwrap();
        }
        let page = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            page == reference,
            "{} is not current: run UPDATE=1 cargo test -p fate-tests --test configuration",
            language.page
        );
    }
    let texts = chinese().texts;
    let missing: Vec<&str> = said()
        .into_iter()
        .filter(|text| !texts.contains_key(*text))
        .collect();
    eprintln!("not translated yet: {missing:#?}");
}
