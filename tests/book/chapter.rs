//! A page of the book, or the README, as Markdown.

use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What a page holds that can be wrong.
#[derive(Debug, Default)]
pub(crate) struct Chapter {
    /// Its file.
    pub(crate) path: PathBuf,
    /// Its text, before anything is included.
    pub(crate) text: String,
    /// Targets of its links.
    pub(crate) links: Vec<String>,
    /// Its images: where they lie, and what is said in their place.
    pub(crate) images: Vec<(String, String)>,
    /// Its fenced blocks: what stands behind the fence, and the lines within.
    pub(crate) fences: Vec<(String, String)>,
    /// Its headings, as mdBook makes anchors of them.
    pub(crate) headings: Vec<String>,
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// All chapters that the summary names, in its order.
pub(crate) fn chapters() -> Vec<Chapter> {
    let source = repository().join("book/src");
    let summary = Chapter::read(&source.join("SUMMARY.md"));
    summary.links.iter().map(|name| Chapter::read(&source.join(name))).collect()
}

impl Chapter {
    /// Reads a page.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut chapter = Self { path: path.into(), ..Self::default() };
        let mut heading = None::<String>;
        let mut alternative = None::<String>;
        let mut in_fence = false;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Link { dest_url, .. }) => chapter.links.push(dest_url.into_string()),
                Event::Start(Tag::Image { dest_url, .. }) => {
                    chapter.images.push((dest_url.into_string(), String::new()));
                    alternative = Some(String::new());
                }
                Event::End(TagEnd::Image) => {
                    let image = chapter.images.last_mut().expect("an image has begun");
                    image.1 = alternative.take().unwrap_or_default();
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::from("indented"),
                    };
                    chapter.fences.push((language, String::new()));
                    in_fence = true;
                }
                Event::End(TagEnd::CodeBlock) => in_fence = false,
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    chapter.headings.extend(heading.take().map(|text| anchor(&text)));
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(text) = heading.as_mut().or(alternative.as_mut()) {
                        text.push_str(&words);
                    } else if let Some((_, block)) = chapter.fences.last_mut().filter(|_| in_fence) {
                        block.push_str(&words);
                    }
                }
                Event::SoftBreak => alternative.iter_mut().for_each(|text| text.push(' ')),
                _ => {}
            }
        }
        chapter.text = text;
        chapter
    }

    /// The page's name, for messages.
    pub(crate) fn name(&self) -> String {
        self.path.strip_prefix(repository()).unwrap_or(&self.path).display().to_string()
    }

    /// A path that the page names, seen from its folder.
    pub(crate) fn relative(&self, path: &str) -> PathBuf {
        self.path.parent().expect("a file has a folder").join(path)
    }

    /// What the page includes: file, and anchor or range of lines.
    pub(crate) fn includes(&self) -> Vec<(PathBuf, Option<&str>)> {
        let of = |part: &'static str| self.text.split(part).skip(1);
        let targets = of("{{#include ").filter_map(|rest| rest.split("}}").next());
        let parts = targets.map(|target| match target.trim().split_once(':') {
            Some((file, what)) => (self.relative(file), Some(what)),
            None => (self.relative(target.trim()), None),
        });
        parts.collect()
    }
}

/// The anchor that mdBook makes of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then(|| letter.to_ascii_lowercase()),
    });
    kept.collect()
}
