//! On a directory that is shaped like a tree of groups. What only a kernel does, it does not show: README, Limits.

use proptest::prelude::*;

use super::*;

/// A tree with one group, a run directory beside it; removed with the value.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str, controllers: &str, enabled: &str, inside: &[u32]) -> Self {
        let root = std::env::temp_dir().join(format!("xcloud-cgroup-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&root));
        let this = Self(root);
        std::fs::create_dir_all(this.run()).unwrap();
        std::fs::create_dir(this.base()).unwrap();
        let inside: String = inside.iter().map(|pid| format!("{pid}\n")).collect();
        for (file, text) in [("cgroup.controllers", controllers), (CONTROL, enabled), (PROCS, &inside)] {
            std::fs::write(this.base().join(file), text).unwrap();
        }
        this
    }

    fn base(&self) -> PathBuf {
        self.0.join("group")
    }

    fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    fn groups(&self, movable: &[u32]) -> Result<Arc<Groups>, String> {
        Groups::at(self.base(), movable, &self.run(), Kernel { make, remove })
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.base().join(path)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.base()).unwrap().map(|entry| entry.unwrap());
        let groups = entries.filter(|entry| entry.path().is_dir());
        let mut names: Vec<_> = groups.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.run()).unwrap().count()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// As the kernel fills a new group; a file that is there is not made by writing.
fn make(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)?;
    let files = [PROCS, "memory.max", "memory.swap.max", "memory.events"];
    files.iter().try_for_each(|file| std::fs::write(path.join(file), ""))
}

/// A group with processes is busy.
fn remove(path: &Path) -> io::Result<()> {
    if !processes(path)?.is_empty() && !path.join("gone").exists() {
        return Err(ErrorKind::ResourceBusy.into());
    }
    std::fs::remove_dir_all(path)
}

#[test]
fn the_host_moves_below_and_instances_have_their_limits_beside_it() {
    let tree = Tree::new("whole", "cpu memory pids", "", &[7]);
    let groups = tree.groups(&[7, 8]).unwrap();
    let leaf = format!("xcloud-host-{}", std::process::id());
    assert_eq!(tree.names(), std::slice::from_ref(&leaf), "the trial group is gone");
    assert_eq!(
        (tree.read(&format!("{leaf}/{PROCS}")).as_str(), tree.read(CONTROL).as_str()),
        ("7", "+memory")
    );
    let instance = groups.instance(3, 96 << 20).unwrap();
    instance.admit(99).unwrap();
    let name = format!("xcloud-{}-3", std::process::id());
    let of = |file: &str| tree.read(&format!("{name}/{file}"));
    assert_eq!((of("memory.max").as_str(), of("memory.swap.max").as_str()), ("100663296", "0"));
    assert_eq!(of(PROCS), "99");
    assert!(!tree.base().join(&name).join("memory.oom.group").exists(), "what is not there is not made");
    let record = std::fs::read_to_string(tree.run().join("3.cgroup")).unwrap();
    assert_eq!(Path::new(&record), tree.base().join(&name));
}

#[test]
fn what_the_kernel_counts_is_told_and_only_then() {
    let tree = Tree::new("events", "memory", "", &[7]);
    let instance = tree.groups(&[7]).unwrap().instance(1, 64 << 20).unwrap();
    let counts = |text: &str| std::fs::write(instance.path.join("memory.events"), text).unwrap();
    for text in ["", "low 0\nhigh 0\nmax 12\noom 1\noom_kill 0\n", "oom_kill many\n", "oom_group_kill 1\n"] {
        counts(text);
        assert_eq!(instance.exceeded(), None, "{text:?}");
    }
    counts("low 0\nhigh 0\nmax 30\noom 1\noom_kill 2\noom_group_kill 1\n");
    let told = instance.exceeded().unwrap();
    assert!(told.starts_with("memory_exceeded: ") && told.contains("64 MB"), "{told}");
}

#[test]
fn all_is_as_it_was_when_the_host_ends() {
    let tree = Tree::new("back", "memory", "", &[7]);
    let groups = tree.groups(&[7]).unwrap();
    let (busy, idle) = (groups.instance(1, 1).unwrap(), groups.instance(2, 1).unwrap());
    busy.admit(99).unwrap();
    drop(idle);
    drop(busy);
    assert_eq!(
        tree.names().len(),
        2,
        "a group that something is in stays, with the host's: {:?}",
        tree.names()
    );
    // The tree forgets nothing by itself: a process that moved on is still listed where it was.
    std::fs::write(groups.leaf.as_ref().unwrap().join("gone"), "").unwrap();
    std::fs::write(tree.base().join(PROCS), "").unwrap();
    drop(groups);
    assert_eq!((tree.read(CONTROL).as_str(), tree.read(PROCS).as_str()), ("-memory", "7"));
    assert_eq!((tree.names(), tree.left()), (vec![format!("xcloud-{}-1", std::process::id())], 1));
}

#[test]
fn where_it_cannot_be_done_nothing_is_changed_and_the_reason_is_said() {
    let nobody_to_move = Tree::new("others", "memory", "", &[7, 12]);
    assert!(nobody_to_move.groups(&[7]).unwrap_err().contains("processes of others"));
    // A process of another namespace is listed as 0.
    let hidden = Tree::new("hidden", "memory", "", &[7, 0]);
    assert!(hidden.groups(&[7]).unwrap_err().contains("processes of others"));
    let without = Tree::new("without", "cpu hugetlb", "", &[7]);
    assert!(without.groups(&[7]).unwrap_err().contains("no memory controller"));
    for tree in [nobody_to_move, hidden, without] {
        assert_eq!((tree.names(), tree.read(CONTROL).as_str(), tree.left()), (vec![], "", 0));
    }
    // It fails half way: the process is put back.
    let broken = Tree::new("broken", "memory", "", &[7]);
    let bare = Kernel {
        make: |path| std::fs::create_dir(path).and_then(|()| std::fs::write(path.join(PROCS), "")),
        remove: |path| std::fs::remove_dir_all(path),
    };
    let error = Groups::at(broken.base(), &[7], &broken.run(), bare).unwrap_err();
    assert!(error.contains("group"), "{error}");
    assert_eq!((broken.names(), broken.read(CONTROL).as_str(), broken.left()), (vec![], "-memory", 0));
    assert!(Groups::at("/nowhere".into(), &[7], &broken.run(), KERNEL).unwrap_err().contains("/nowhere"));
}

#[test]
fn the_root_of_all_groups_needs_no_move() {
    let tree = Tree::new("root", "cpu memory", "cpu memory", &[1, 2, 7]);
    let groups = tree.groups(&[7]).unwrap();
    assert!(groups.leaf.is_none() && groups.describe().contains("cgroup v2"));
    groups.instance(1, 1).unwrap();
    assert_eq!((tree.read(CONTROL).as_str(), tree.names()), ("cpu memory", Vec::new()));
}

#[test]
fn what_a_killed_host_has_left_is_removed_and_nothing_else_is() {
    let tree = Tree::new("left", "memory", "", &[7]);
    let of = |name: &str| tree.base().join(name);
    for name in ["xcloud-12-3", "system.slice"] {
        std::fs::create_dir(of(name)).unwrap();
        std::fs::write(tree.run().join(format!("{name}.cgroup")), of(name).to_str().unwrap()).unwrap();
    }
    std::fs::write(tree.run().join("9.cgroup"), "/nowhere/xcloud-1-9").unwrap();
    crate::host::leftovers::clear(&tree.run()).unwrap();
    assert_eq!((tree.names(), tree.left()), (vec!["system.slice".to_owned()], 0));
}

#[test]
fn the_group_is_found_below_its_mount() {
    let mounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw\n\
                  35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
    let cgroup = "4:memory:/other\n0::/user.slice/user-1000.slice\n";
    let found = own(cgroup, mounts).unwrap();
    assert_eq!(found, Path::new("/sys/fs/cgroup/unified/user.slice/user-1000.slice"));
    // A container that sees a part of the tree.
    let part = "41 31 0:38 /user.slice /cg rw - cgroup2 cgroup rw";
    assert_eq!(own(cgroup, part).unwrap(), Path::new("/cg/user-1000.slice"));
    assert_eq!(own("0::/elsewhere", part), None);
    assert_eq!(own("4:memory:/other\n", mounts), None);
    assert_eq!(own(cgroup, "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"), None);
}

proptest! {
    #[test]
    fn no_text_of_proc_makes_it_panic(cgroup in "\\PC{0,80}", mounts in "\\PC{0,200}") {
        own(&cgroup, &mounts);
        own(&format!("0::{cgroup}"), &format!("1 2 3 / {mounts} - cgroup2 {mounts}"));
        forget(&mounts);
    }
}
