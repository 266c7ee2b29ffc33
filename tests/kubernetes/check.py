"""Judges the rendered manifests. The last line says how many checks passed."""

import copy
import os
import pathlib
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

# The first with native sidecars on by default, up to the newest that the schemas know.
VERSIONS = ["1.29", "1.30", "1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
EXAMPLES = {"vllm": 8000, "triton": 8000}
# Not Kubernetes' own: its schema is the Prometheus operator's.
FOREIGN = {"PodMonitor"}

program, kubectl = (pathlib.Path(sys.argv[1]).resolve(), sys.argv[2])
folder = pathlib.Path("deploy/kubernetes")
passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        sys.exit(f"FAILED: {what}" + ("" if seen is None else f": {seen}"))
    passed += 1


def render(example):
    ran = subprocess.run(
        [kubectl, "kustomize", str(folder / "examples" / example)], capture_output=True, text=True, timeout=60
    )
    check(f"{example} renders", ran.returncode == 0, ran.stderr)
    return [document for document in yaml.safe_load_all(ran.stdout) if document]


def fault(document, version):
    """What a schema has against a document, if anything."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error)
    return None


def of_kind(documents, kind):
    found = [document for document in documents if document["kind"] == kind]
    check(f"there is one {kind}", len(found) == 1, [document["kind"] for document in documents])
    return found[0]


def check_schemas(example, documents):
    for document in documents:
        if document["kind"] in FOREIGN:
            continue
        for version in VERSIONS:
            name = f"{example}: {document['kind']} for Kubernetes {version}"
            found = fault(document, version)
            check(name, found is None, found)


def check_mistakes_are_found(documents):
    """A schema that let everything pass would show nothing."""
    deployment = of_kind(documents, "Deployment")
    for version in VERSIONS:
        for spoil in (
            lambda pod: pod["initContainers"][0].update(readynessProbe={}),
            lambda pod: pod["initContainers"][0].update(restartPolicy=True),
            lambda pod: pod["initContainers"][0]["securityContext"].update(runAsUser="nobody"),
            lambda pod: pod.update(terminationGracePeriod=3),
        ):
            spoilt = copy.deepcopy(deployment)
            spoil(spoilt["spec"]["template"]["spec"])
            check(f"a mistake is found by {version}", fault(spoilt, version) is not None)


def check_sidecar(example, documents, model_port):
    template = of_kind(documents, "Deployment")["spec"]["template"]
    pod = template["spec"]
    sidecar, *others = pod["initContainers"]
    check("one sidecar", not others and sidecar["name"] == "keyward")
    check("it is a native one", sidecar["restartPolicy"] == "Always")
    for probe, path in (("startupProbe", "/startupz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        check(probe, sidecar[probe]["httpGet"] == {"path": path, "port": "keyward-probes"})
    security = sidecar["securityContext"]
    check("nobody's root", security["runAsNonRoot"] is True and security["runAsUser"] > 0)
    check("a root that is read", security["readOnlyRootFilesystem"] is True)
    check("no more rights", security["allowPrivilegeEscalation"] is False)
    check("no capabilities", security["capabilities"] == {"drop": ["ALL"]})
    check("a filter of system calls", security["seccompProfile"] == {"type": "RuntimeDefault"})
    check("no account in the pod", pod["automountServiceAccountToken"] is False)
    check("it may take so much", set(sidecar["resources"]) == {"requests", "limits"})
    check("no secret in a variable", not any("valueFrom" in each for each in sidecar["env"]) and "envFrom" not in sidecar)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    secrets = [name for name, volume in volumes.items() if "secret" in volume]
    for container in pod["containers"]:
        mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
        check("the model server sees no secret of keyward's", not mounted & set(secrets))
        check("the model server's port is not named", "ports" not in container)
        text = " ".join(container.get("args", []))
        check("the model server is on loopback", "127.0.0.1" in text and "0.0.0.0" not in text, text)
    return sidecar, template


def check_ways_in(documents, template, model_port):
    policy = of_kind(documents, "NetworkPolicy")["spec"]
    labels = template["metadata"]["labels"]
    check("the policy is about these pods", policy["podSelector"]["matchLabels"].items() <= labels.items())
    check("it closes what it does not open", policy["policyTypes"] == ["Ingress"])
    opened = {}
    for rule in policy["ingress"]:
        check("no rule without ports", rule.get("ports"))
        for port in rule["ports"]:
            opened[port["port"]] = "from" in rule
    check("calls from anywhere, metrics from some", opened == {8080: False, 9091: True}, opened)
    check("the model's own port is closed", model_port not in opened and 9090 not in opened)
    service = of_kind(documents, "Service")["spec"]
    check("the service leads to keyward", [port["targetPort"] for port in service["ports"]] == [8080])
    check("the service finds the pods", service["selector"].items() <= labels.items())


def check_scraping(documents, sidecar, template):
    monitor = of_kind(documents, "PodMonitor")
    check("its version", monitor["apiVersion"] == "monitoring.coreos.com/v1")
    check("it finds the pods", monitor["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items())
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    ports = {port["name"]: port["containerPort"] for port in sidecar["ports"]}
    check("it asks a port that there is", ports[endpoint["port"]] == 9091 and endpoint["path"] == "/metrics")
    jobs = [rule["replacement"] for rule in endpoint["relabelings"] if rule["targetLabel"] == "job"]
    check("the job that the alerts know", jobs == ["keyward"])


def check_settings(example, documents, sidecar):
    """The settings in the ConfigMap load, with the files where the container has them."""
    settings = of_kind(documents, "ConfigMap")
    volumes = of_kind(documents, "Deployment")["spec"]["template"]["spec"]["volumes"]
    mounted = [volume["configMap"]["name"] for volume in volumes if "configMap" in volume]
    check("the pod mounts these settings", mounted == [settings["metadata"]["name"]])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "keyward.toml").write_text(settings["data"]["keyward.toml"])
        (scratch / "database-url").write_text("postgres://sidecar:secret@db.internal/keyward?sslmode=verify-full\n")
        (scratch / "admin-token").write_text("kwadmin_0123456789abcdef0123456789abcdef\n")
        environment = {"PATH": os.environ["PATH"]}
        for variable in sidecar["env"]:
            path = pathlib.PurePosixPath(variable["value"])
            check("a secret is a file of the Secret", str(path.parent) == "/run/secrets/keyward")
            environment[variable["name"]] = str(scratch / path.name)
        command, config = sidecar["args"][0], sidecar["args"][1:]
        check("it serves with these settings", (command, config) == ("serve", ["--config", "/etc/keyward/keyward.toml"]))

        def said(*words):
            return subprocess.run(
                [program, *words, "--config", scratch / "keyward.toml"],
                env=environment, capture_output=True, text=True, timeout=60,
            )  # fmt: skip

        checked = said("config", "check")
        check(f"{example}: its settings load", checked.returncode == 0, checked.stderr)
        shown = said("config", "show", "--output", "json")
        check("they can be shown", shown.returncode == 0, shown.stderr)
        check("no secret is shown", "secret@" not in shown.stdout and "kwadmin_0123" not in shown.stdout)


for example, model_port in EXAMPLES.items():
    documents = render(example)
    check_schemas(example, documents)
    check_mistakes_are_found(documents)
    sidecar, template = check_sidecar(example, documents, model_port)
    check_ways_in(documents, template, model_port)
    check_scraping(documents, sidecar, template)
    check_settings(example, documents, sidecar)
print(f"kubernetes: {passed} passed, 0 failed")
