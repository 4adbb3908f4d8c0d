//! Pages in Chromium, without a window: what becomes of them, and what they write to the console.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use serde_json::Value;

/// Where this variable is set, trials fail for want of a browser or of the built book.
const REQUIRE_BROWSER: &str = "EPROP_REQUIRE_BROWSER";
/// This variable names the browser; otherwise it is the first of `NAMES` that there is.
const CHROMIUM: &str = "CHROMIUM";
/// Names of Chromium.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// How long a page may take.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Without a window; virtual time, in ms, is what scripts that wait may take.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--allow-file-access-from-files",
    "--virtual-time-budget=30000",
    "--enable-logging=stderr",
    "--dump-dom",
];
/// Files of the built book that are not pages of their own.
const NOT_PAGES: [&str; 3] = ["print.html", "404.html", "toc.html"];

/// The trials of all pages.
pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::ignorable_test("browser: no page says anything on the console", || {
        on_book(no_page_says_anything)
    })]
}

/// A document that opens pages one after the other in a frame. It says which on the console, before what the page may say.
const OPEN_ALL: &str = r#"<!doctype html>
<iframe id="frame" style="width: 1000px; height: 1000px"></iframe>
<pre id="result"></pre>
<script>
const frame = document.getElementById("frame");
const open = (url) => new Promise((done) => {
  console.log(`opening ${url}`);
  frame.onload = () => setTimeout(done, 200);
  frame.src = url;
});
(async () => {
  let opened = 0;
  for (const url of PAGES) {
    await open(url);
    opened += frame.contentDocument.querySelector("main") ? 1 : 0;
  }
  document.getElementById("result").textContent = opened;
})();
</script>"#;

fn no_page_says_anything(browser: &Browser, book: &Path) -> Result<(), Failed> {
    let urls: Vec<_> = pages(book)?.iter().map(|page| url(page)).collect();
    assert!(urls.len() > 1, "{urls:?}");
    let all = browser.open_document(&OPEN_ALL.replace("PAGES", &Value::from(urls.clone()).to_string()))?;
    let (mut opened, mut said) = (Vec::new(), Vec::new());
    for line in &all.console {
        match urls.iter().find(|url| line.contains(&format!("\"opening {url}\""))) {
            Some(url) => opened.push(url),
            None => said.push(format!("{:?}: {line}", opened.last())),
        }
    }
    if !said.is_empty() {
        return Err(format!("pages say on the console: {said:#?}").into());
    }
    assert!(opened.into_iter().eq(&urls), "a page was not opened: {:#?}", all.console);
    assert_eq!(all.result()?, Value::from(urls.len()), "how many are pages of a book");
    println!("{} pages say nothing", urls.len());
    Ok(())
}

/// The pages of a built book.
fn pages(book: &Path) -> Result<Vec<PathBuf>, Failed> {
    let files = fs::read_dir(book)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, Failed>>()?;
    let is_page = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        path.extension().is_some_and(|extension| extension == "html")
            && NOT_PAGES.iter().all(|other| name != *other)
    };
    let mut pages: Vec<_> = files.into_iter().filter(is_page).collect();
    pages.sort();
    Ok(pages)
}

/// Runs a trial in the browser; without one the trial is ignored, or fails where `EPROP_REQUIRE_BROWSER` is set.
///
/// # Errors
///
/// The trial's own.
pub(crate) fn on_browser(trial: impl FnOnce(&Browser) -> Result<(), Failed>) -> Result<Completion, Failed> {
    match Browser::find() {
        Ok(browser) => trial(&browser).map(|()| Completion::Completed),
        Err(reason) if std::env::var_os(REQUIRE_BROWSER).is_some() => Err(Failed::from(reason)),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    }
}

/// As [`on_browser`], for a trial of the built book, which is given the book's folder.
///
/// # Errors
///
/// The trial's own.
pub(crate) fn on_book(
    trial: impl FnOnce(&Browser, &Path) -> Result<(), Failed>,
) -> Result<Completion, Failed> {
    let book = book().join("book");
    let missing = format!("no {}: `mdbook build book` makes it", book.join("index.html").display());
    if book.join("index.html").exists() {
        return on_browser(|browser| trial(browser, &book));
    }
    match std::env::var_os(REQUIRE_BROWSER) {
        Some(_) => Err(Failed::from(missing)),
        None => Ok(Completion::ignored_with(missing)),
    }
}

/// The book's folder, with its sources.
pub(crate) fn book() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("a workspace").join("book")
}

/// The address of a file.
pub(crate) fn url(path: &Path) -> String {
    let path = path.to_string_lossy();
    let encoded = path.bytes().map(|byte| match byte {
        b'/' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    format!("file://{}", encoded.collect::<String>())
}

/// Chromium.
#[derive(Debug)]
pub(crate) struct Browser {
    program: String,
}

/// A page as the browser left it.
#[derive(Debug)]
pub(crate) struct Page {
    /// The document, as HTML.
    pub(crate) dom: String,
    /// What was written to the console.
    pub(crate) console: Vec<String>,
}

impl Browser {
    fn find() -> Result<Self, String> {
        let named = std::env::var(CHROMIUM).ok();
        let names = named.map_or_else(|| NAMES.map(String::from).to_vec(), |name| vec![name]);
        let runs = |program: &String| {
            let output = Command::new(program).arg("--version").output();
            output.is_ok_and(|output| output.status.success())
        };
        let missing = format!("no browser: {} cannot be run", names.join(", "));
        names.into_iter().find(runs).map(|program| Self { program }).ok_or(missing)
    }

    /// Opens a file, and waits until its scripts have run.
    pub(crate) fn open(&self, file: &Path) -> Result<Page, Failed> {
        let folder = tempfile::tempdir()?;
        let [dom, log] = ["dom", "log"].map(|name| folder.path().join(name));
        let profile = format!("--user-data-dir={}", folder.path().join("profile").display());
        let mut command = Command::new(&self.program);
        command.args(FLAGS).arg(profile).arg(url(file));
        command.stdin(Stdio::null()).stdout(File::create(&dom)?).stderr(File::create(&log)?);
        let status = wait(&mut command.spawn()?)?;
        let read = |path| fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (dom, log) = (read(&dom)?, read(&log)?);
        match status {
            Some(status) if status.success() => {
                let says = |line: &&str| line.contains("CONSOLE") || line.contains("Uncaught");
                Ok(Page { dom, console: log.lines().filter(says).map(String::from).collect() })
            }
            Some(status) => Err(format!("{}, {status}:\n{log}", file.display()).into()),
            None => Err(format!("{}: not ready after {TIMEOUT:?}:\n{log}", file.display()).into()),
        }
    }

    /// Opens a document that is no file yet.
    pub(crate) fn open_document(&self, html: &str) -> Result<Page, Failed> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("document.html");
        fs::write(&file, html)?;
        self.open(&file)
    }
}

impl Page {
    /// The JSON in the document's `<pre id="result">`.
    pub(crate) fn result(&self) -> Result<Value, Failed> {
        let result =
            self.dom.split_once("<pre id=\"result\">").and_then(|(_, rest)| rest.split_once("</pre>"));
        let (escaped, _) =
            result.ok_or_else(|| format!("no result; the console says {:#?}", self.console))?;
        let json = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        serde_json::from_str(&json).map_err(|error| format!("{error}: {json:?}").into())
    }

    /// Fails where something was written to the console.
    pub(crate) fn assert_silent(&self, what: &str) -> Result<(), Failed> {
        match self.console.as_slice() {
            [] => Ok(()),
            said => Err(format!("{what} says on the console: {said:#?}").into()),
        }
    }
}

/// Waits for a process; stops it and returns `None` where it takes too long.
fn wait(process: &mut Child) -> Result<Option<ExitStatus>, Failed> {
    let start = Instant::now();
    while start.elapsed() < TIMEOUT {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(10));
    }
    process.kill()?;
    process.wait()?;
    Ok(None)
}
