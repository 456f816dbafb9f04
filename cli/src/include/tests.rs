use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

/// A directory of one test with these files, removed with the value.
struct App(PathBuf);

impl App {
    fn new(name: &str, files: &[&str]) -> Self {
        let app = Self(std::env::temp_dir().join(format!("xcloud-include-{name}-{}", std::process::id())));
        drop(std::fs::remove_dir_all(&app.0));
        for file in files {
            let path = app.0.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        app
    }

    fn found(&self, patterns: &[&str]) -> Vec<String> {
        let files = self.files(patterns).unwrap();
        assert!(files.iter().all(|file| file.bytes == file.path.as_bytes()), "the content is the file's");
        files.into_iter().map(|file| file.path).collect()
    }

    fn files(&self, patterns: &[&str]) -> Result<Vec<File>> {
        files(&self.0, &patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>())
    }

    fn refused(&self, pattern: &str) -> String {
        let error = self.files(&[pattern]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains(&format!("`{pattern}`")), "{error}");
        error.message().to_owned()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

const TREE: [&str; 9] = [
    "Cargo.toml",
    "src/main.rs",
    "templates/mail/b.html",
    "templates/a.html",
    "templates/mail/deep/c.txt",
    "templates/.hidden",
    "target/debug/big",
    ".xcloud/build/binary",
    "data.json",
];

#[test]
fn patterns_name_files_in_an_order_that_does_not_change() {
    let app = App::new("order", &TREE);
    let templates =
        ["templates/.hidden", "templates/a.html", "templates/mail/b.html", "templates/mail/deep/c.txt"];
    assert_eq!(app.found(&["templates/**"]), templates);
    assert_eq!(app.found(&["./templates/**/**"]), templates);
    assert_eq!(app.found(&["templates/*"]), templates[..2]);
    assert_eq!(app.found(&["**/*.html"]), templates[1..3]);
    assert_eq!(app.found(&["templates/**/deep/?.txt"]), templates[3..]);
    assert_eq!(app.found(&["data.json", "templates/*/b.html", "*.json"]), ["data.json", templates[2]]);
    // What is made by builds is named or it is not there.
    assert_eq!(app.found(&["**"]).len(), 7);
    assert_eq!(app.found(&["target/debug/*"]), ["target/debug/big"]);
    assert_eq!(app.found(&[]), [""; 0]);
}

#[test]
fn what_may_be_executed_stays_so() {
    let app = App::new("mode", &["tools/run", "tools/text"]);
    std::fs::set_permissions(app.0.join("tools/run"), std::fs::Permissions::from_mode(0o750)).unwrap();
    let modes: Vec<_> = app.files(&["tools/*"]).unwrap().iter().map(|file| file.executable).collect();
    assert_eq!(modes, [true, false]);
}

#[test]
fn what_names_nothing_or_leaves_the_app_is_refused() {
    let app = App::new("refused", &TREE);
    for pattern in ["nothing/**", "*.html", "templates", "data.json/**", "src/*.toml"] {
        assert!(app.refused(pattern).contains("names no file"), "{pattern}");
    }
    for pattern in ["../x", "templates/../../x", ".."] {
        assert!(app.refused(pattern).contains("leaves the app's directory"), "{pattern}");
    }
    for pattern in ["/etc/passwd", "", "templates//a.html", "templates/"] {
        assert!(app.refused(pattern).contains("not a path below"), "{pattern}");
    }
    assert!(app.refused("templates/[ab].html").contains("only `*`"));
    assert!(app.refused("temp**/a.html").contains("stands alone"));
}

#[test]
fn symbolic_links_are_refused_where_a_pattern_comes_upon_them() {
    let app = App::new("links", &TREE);
    std::os::unix::fs::symlink("/etc/passwd", app.0.join("templates/users")).unwrap();
    std::os::unix::fs::symlink("templates", app.0.join("views")).unwrap();
    for (pattern, link) in
        [("templates/**", "templates/users"), ("views/*", "views"), ("templates/users", "templates/users")]
    {
        assert!(app.refused(pattern).contains(&format!("{link} is a symbolic link")), "{pattern}");
    }
    assert_eq!(app.found(&["templates/*.html"]), ["templates/a.html"]);
}

proptest! {
    #[test]
    fn no_pattern_makes_it_panic_and_a_name_fits_itself(pattern in "\\PC{0,20}", name in "[a-z.]{1,8}") {
        let _ = parts(&pattern);
        fits(&pattern, &name);
        let fitting = [name.clone(), "*".to_owned(), format!("*{name}*"), format!("{}*", &name[..1])];
        let longer = [format!("{name}?"), format!("*{name}?*")];
        prop_assert!(fitting.iter().all(|pattern| fits(pattern, &name)), "{}", name);
        prop_assert!(!longer.iter().any(|pattern| fits(pattern, &name)), "{}", name);
    }
}
