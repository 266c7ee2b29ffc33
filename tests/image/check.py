"""Compares the two images and runs the first. The last line says how many checks passed."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

directory = pathlib.Path(sys.argv[1])
PATIENCE = 20
passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        sys.exit(f"FAILED: {what}" + ("" if seen is None else f": {seen}"))
    passed += 1


def config(name):
    told = json.loads((directory / f"{name}.json").read_text())["config"]
    # buildah adds these; nothing in the image looks for programs.
    told.pop("Env", None)
    told["Labels"].pop("io.buildah.version", None)
    return told


def files(name):
    """Every path in an image, with its kind, mode, owner and content's size."""
    root = directory / f"{name}-bundle" / "rootfs"
    found = {}
    for path in sorted(root.rglob("*")):
        stat = path.lstat()
        size = stat.st_size if path.is_file() else None
        found[str(path.relative_to(root))] = (oct(stat.st_mode), stat.st_uid, stat.st_gid, size)
    return found


def check_what_it_holds():
    ours, theirs = files("oci"), files("dockerfile")
    check("both images hold the same", ours == theirs, ours.items() ^ theirs.items())
    programs = [path for path, (mode, *_) in ours.items() if mode.startswith("0o100") and int(mode, 8) & 0o111]
    loaders = [path for path in programs if "ld-linux" in path]
    check("one program, and its loader", sorted(programs) == sorted(["usr/bin/keyward", *loaders]), programs)
    for path, (mode, uid, gid, _) in ours.items():
        its_own = path == "var/lib/keyward"
        check(f"{path} belongs to root", (uid, gid) == ((65532, 65532) if its_own else (0, 0)))
        check(f"{path} cannot be written by others", int(mode, 8) & 0o022 == 0)
        check(f"{path} gives no rights", int(mode, 8) & 0o6000 == 0)


def check_what_it_says():
    ours, theirs = config("oci"), config("dockerfile")
    check("both images say the same", ours == theirs, (ours, theirs))
    check("not root", ours["User"] == "65532:65532")
    labels = ours["Labels"]
    for label, value in (("title", "keyward"), ("licenses", "MIT OR Apache-2.0"), ("revision", "of-the-test")):
        check(label, labels[f"org.opencontainers.image.{label}"] == value)


def bundle():
    """The bundle that umoci unpacked, run as Kubernetes would: a root that is read, no rights, a place to write."""
    path = directory / "oci-bundle" / "config.json"
    spec = json.loads(path.read_text())
    check("the user is the image's", spec["process"]["user"]["uid"] == 65532)
    check("the words are the image's", spec["process"]["args"] == ["/usr/bin/keyward", "serve"])
    spec["root"]["readonly"] = True
    process = spec["process"]
    process["terminal"] = False
    process["noNewPrivileges"] = True
    process["env"] = ["KEYWARD_UPSTREAM=http://127.0.0.1:8000", "KEYWARD_SHUTDOWN__DELAY=0s"]
    kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
    process["capabilities"] = {kind: [] for kind in kinds}
    place = {"destination": "/var/lib/keyward", "type": "tmpfs", "source": "tmpfs"}
    place["options"] = ["nosuid", "nodev", "noexec", "mode=700", "uid=65532", "gid=65532"]
    mounts = [mount for mount in spec["mounts"] if mount["destination"] in ("/proc", "/dev")] + [place]
    # As Kubernetes puts them there.
    for name, text in (("hosts", "127.0.0.1 localhost in-file.test\n"), ("resolv.conf", "nameserver 127.0.0.1\n")):
        (directory / name).write_text(text)
        options = ["bind", "ro"]
        mounts.append({"destination": f"/etc/{name}", "type": "bind", "source": str(directory / name), "options": options})
    spec["mounts"] = mounts
    path.write_text(json.dumps(spec))
    return path.parent


def check_names(inside, pid):
    """A static program has its own way to names: by /etc/hosts, then by the servers of /etc/resolv.conf."""
    server = ["nsenter", "--net", "--target", str(pid), "--", sys.executable, "tests/image/names.py"]
    names = subprocess.Popen(server, stdout=subprocess.PIPE, text=True)
    try:
        check("the server of names listens", names.stdout.readline() == "listening\n")
        for host, cause in (
            ("in-file.test", "Connection refused"),
            ("in-dns.test", "Connection refused"),
            ("nowhere.test", "failed to lookup address"),
        ):
            said = inside("/usr/bin/keyward", "doctor", "--upstream", f"http://{host}:1").stdout
            (told,) = [line for line in said.splitlines() if line.startswith("fail  upstream")]
            check(f"{host} is asked for", host in told and cause in told, said)
    finally:
        names.kill()
        names.wait()


def check_that_it_runs():
    name = f"keyward-test-{os.getpid()}"
    state = ["--root", str(directory / "runc")]
    log = (directory / "log").open("w")
    run = subprocess.Popen(["runc", *state, "run", "--bundle", str(bundle()), name], stdout=log, stderr=log)

    def inside(*words):
        ran = ["runc", *state, "exec", name, *words]
        return subprocess.run(ran, capture_output=True, text=True, timeout=PATIENCE)

    def said():
        return (directory / "log").read_text()

    try:
        deadline = time.monotonic() + PATIENCE
        while (ready := inside("/usr/bin/keyward", "health")).returncode != 0:
            check("it runs", run.poll() is None, said())
            check("it becomes ready", time.monotonic() < deadline, said() + ready.stderr)
            time.sleep(0.05)
        check("it says so", ready.stdout == "ready\n", ready.stdout)
        check("there is no shell", inside("/bin/sh", "-c", "true").returncode != 0)
        version = inside("/usr/bin/keyward", "--version")
        check("it has a version", version.stdout.startswith("keyward "), version)
        written = inside("/usr/bin/keyward", "--database", "sqlite:///etc/keyward/x.db", "database", "migrate")
        check("nothing else can be written", written.returncode != 0, written.stdout)
        state_of = subprocess.run(["runc", *state, "state", name], capture_output=True, text=True, timeout=PATIENCE)
        check_names(inside, json.loads(state_of.stdout)["pid"])
    finally:
        subprocess.run(["runc", *state, "kill", name, "TERM"], capture_output=True, timeout=PATIENCE)
        try:
            code = run.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            code = None
        subprocess.run(["runc", *state, "delete", "--force", name], capture_output=True, timeout=PATIENCE)
    check("it ends well when it is told to", code == 0, said())


check_what_it_holds()
check_what_it_says()
check_that_it_runs()
print(f"image: {passed} passed, 0 failed")
