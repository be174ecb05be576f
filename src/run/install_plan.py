# Run by the interpreter of .venv before pip installs (run/install.c): which PyTorch would pip take, and how large is it?
# argv: "new" or "old" (.venv was made by us just before), the address of PyTorch's index of CPU builds, requirements.
# Lines that begin with "plan: " are for install.c, the others for the user.
import json, os, re, signal, subprocess, sys, tempfile, threading, urllib.request

fresh, index, wanted = sys.argv[1] == "new", sys.argv[2].rstrip("/"), sys.argv[3:]
torch = [one for one in wanted if one.startswith("torch=")]
SECONDS = 4  # for a server to answer; name look-ups included, which sockets have no limit for
PLANS = (23, 3)  # the first pip that plans by the metadata beside a wheel; those before download it whole
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing temporary stays


def within(seconds, work):
    answer = []

    def attempt():
        try:
            answer.append(work())
        except Exception:
            pass

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0] if answer else None


def pip(*arguments):
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def renew(*where):
    """The newest pip from the index that pip uses; if none is available, the old one stays."""
    pip("install", "--quiet", "--no-compile", "--retries", "0", "--timeout", str(SECONDS), "--upgrade", *where, "pip")


def plans():
    numbers = re.findall(r"\d+", pip("--version").stdout)[:2]
    return tuple(map(int, numbers)) >= PLANS


def planner(folder):
    """Whether there is a pip that can plan: the environment's own, else one beside it, which changes nothing there."""
    if plans():
        return True
    renew("--target", folder)
    os.environ["PYTHONPATH"] = folder
    return plans()


def report(*arguments):
    done = pip("install", "--quiet", "--dry-run", "--retries", "1", "--report", "-", *arguments)
    if done.returncode:  # what pip cannot plan it must not begin
        print(done.stderr)
        sys.exit(1)
    return json.loads(done.stdout)["install"]


def size(item):
    url = item["download_info"]["url"]
    if url.startswith("file:"):
        return 0  # nothing to download
    request = urllib.request.Request(url, method="HEAD")
    length = within(SECONDS, lambda: urllib.request.urlopen(request, timeout=SECONDS).headers["Content-Length"])
    return int(length) if length else None


def version(item):
    return item["metadata"]["version"]


def builds_for_cpus():
    """pip's options for PyTorch's own index, when that answers."""
    if within(SECONDS, lambda: urllib.request.urlopen(index + "/torch/", timeout=SECONDS).read()):
        print("plan: index " + index)
        return ["--extra-index-url", index]
    print("PyTorch's index of CPU builds does not answer: " + re.sub("//[^/@]*@", "//", index))
    return []


def plan(options):
    found = report("--no-deps", *options, *torch)
    if found and version(found[0]).endswith("+cpu"):
        print("plan: torch torch==" + version(found[0]))
        length = size(found[0])
        if length:
            print(f"PyTorch {version(found[0])}: {length / 1e6:.0f} MB to download")
    elif found:
        everything = report(*options, *torch)
        sizes = [size(item) for item in everything]
        total = sum(one or 0 for one in sizes)
        print(f"plan: size {total} {sum(one is None for one in sizes)} {len(everything)}")


if fresh:  # progress needs pip 24.1
    renew()
if torch:
    options = builds_for_cpus()
    with tempfile.TemporaryDirectory() as folder:
        if planner(folder):
            plan(options)
        else:
            print("plan: unknown")
