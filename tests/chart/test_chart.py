"""The chart: what it renders, what it refuses, and the manifest made from it.

Golden files: golden/NAME.yaml is `helm template` with values/NAME.yaml; KERF_GOLDEN=write writes
them anew.
"""
import json
import os
import pathlib
import re
import subprocess

import pytest
import yaml

HERE = pathlib.Path(__file__).resolve().parent
TREE = HERE.parent.parent
CHART = TREE / "deploy/chart"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "kerf"
CASES = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))
# Of what the agent has on the host, docs/security.md speaks of each.
SECURITY = (TREE / "docs/security.md").read_text()


@pytest.fixture(scope="session")
def helm():
    """Runs Helm; the answer is the finished process."""
    programs = sorted((CACHE / "bin").glob("helm-*"))
    if not programs:
        pytest.skip("there is no Helm in the cache; `make chart` builds it")

    def run(*args, given=""):
        return subprocess.run([programs[-1], *args], text=True, capture_output=True, input=given)
    return run


def rendered(helm, *args, given=""):
    done = helm("template", "kerf", CHART, "--namespace", "kube-system", *args, given=given)
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects(text):
    return [o for o in yaml.safe_load_all(text) if o]


def kinds(found):
    return sorted(o["kind"] for o in found)


def agent(found):
    pod = next(o for o in found if o["kind"] == "DaemonSet")["spec"]["template"]["spec"]
    return pod, pod["containers"][0]


def test_lint_is_clean(helm):
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_renders_as_the_golden_file_says(helm, case):
    text = rendered(helm, "--values", HERE / f"values/{case}.yaml")
    golden = HERE / f"golden/{case}.yaml"
    if os.environ.get("KERF_GOLDEN") == "write":
        golden.write_text(text)
    assert text == golden.read_text()


def test_the_plain_manifest_is_the_chart_with_its_defaults(helm):
    written = subprocess.run([TREE / "deploy/manifests/render", "-"], text=True, capture_output=True)
    assert written.returncode == 0, written.stderr
    assert written.stdout == (TREE / "deploy/manifests/kerf.yaml").read_text()
    plain, chart = objects(written.stdout), objects(rendered(helm, "--no-hooks"))
    for found in chart:
        labels = [found["metadata"]["labels"]]
        if found["kind"] == "DaemonSet":
            labels.append(found["spec"]["template"]["metadata"]["labels"])
        for label in labels:
            del label["helm.sh/chart"], label["app.kubernetes.io/managed-by"]
    assert plain == chart


@pytest.mark.parametrize("values, told", [
    ("migStrategy: multi", "migStrategy"),
    ("migStratgy: single", "migStratgy"),
    ("migConfig: {whenBlocked: kill}", "whenBlocked"),
    ("migConfig: {withReboot: sometimes}", "withReboot"),
    ("driverAccess: none", "driverAccess"),
    ("labels: true", "labels"),
    ("deviceListStrategy: [cdi]", "deviceListStrategy"),
    ("config: {map: {'../etc': 'version: v1'}}", "../etc"),
    ("config: {map: {default: {version: v1}}}", "default"),
    ("config: {fallbackStrategies: [any]}", "fallbackStrategies"),
    ("image: {digest: latest}", "digest"),
    ("image: {repository: ''}", "repository"),
    ("hostRoot: host", "hostRoot"),
    ("removeHook: {waitSeconds: 0}", "waitSeconds"),
    ("metrics: {port: 0}", "port"),
    ("metrics: {hostnameLabel: host}", "hostnameLabel"),
    ("metrics: {serviceMonitor: {interval: often}}", "interval"),
    ("resources: {cpu: 1}", "resources"),
    ("tolerations: {operator: Exists}", "tolerations"),
])
def test_refuses_bad_values_and_names_them(helm, values, told):
    for command in (["template", "kerf", CHART], ["lint", CHART]):
        done = helm(*command, "--values", "-", given=values)
        assert done.returncode != 0
        assert told in done.stdout + done.stderr


def test_every_value_is_in_the_schema_and_explained():
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(yaml.safe_load(text)) == set(schema) - {"global"}
    lines = text.splitlines()
    # what other charts have too needs no words: pull secrets, where pods go, their metadata
    bare = [re.match(r"\w+", line)[0] for line, above in zip(lines[1:], lines)
            if re.match(r"\w", line) and not above.startswith("#")]
    assert set(bare) <= {"image", "imagePullSecrets", "deviceIDStrategy", "logFormat", "rbac",
                         "serviceAccount", "tolerations", "priorityClassName", "updateStrategy",
                         "terminationGracePeriodSeconds", "podAnnotations", "podLabels",
                         "extraVolumes", "extraVolumeMounts"}


@pytest.mark.parametrize("case", CASES)
def test_every_host_access_stands_in_the_security_document(helm, case):
    pod, container = agent(objects(rendered(helm, "--values", HERE / f"values/{case}.yaml")))
    spoken = [mount["mountPath"] for mount in container["volumeMounts"]]
    spoken += container["securityContext"].get("capabilities", {}).get("add", [])
    spoken += [key for key in ("hostPID", "hostNetwork", "hostIPC") if pod.get(key)]
    spoken += [key for key in ("privileged", "readOnlyRootFilesystem")
               if container["securityContext"].get(key)]
    assert [word for word in spoken if f"`{word}`" not in SECURITY] == []


@pytest.mark.parametrize("case", CASES)
def test_every_environment_name_is_one_that_the_agent_knows(helm, case):
    _, container = agent(objects(rendered(helm, "--values", HERE / f"values/{case}.yaml")))
    settings = (TREE / "src/config/settings.h").read_text()
    # for nvidia-container-toolkit, not for the agent
    toolkit = {"NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_MIG_CONFIG_DEVICES",
               "NVIDIA_MIG_MONITOR_DEVICES"}
    unknown = [e["name"] for e in container["env"] if f'"{e["name"]}"' not in settings]
    assert set(unknown) <= toolkit


def test_toolkit_access_takes_one_capability_and_no_privilege(helm):
    _, container = agent(objects(rendered(helm, "--set", "driverAccess=toolkit")))
    assert container["securityContext"] == {"runAsUser": 0, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}


def test_refuses_a_reboot_that_the_agent_could_not_do(helm):
    done = helm("template", "kerf", CHART, "--set", "driverAccess=toolkit,migConfig.withReboot=true")
    assert done.returncode != 0 and "withReboot" in done.stderr


def test_an_agent_may_evict_only_where_it_was_told_to(helm):
    def resources(*args):
        roles = [o for o in objects(rendered(helm, "--no-hooks", *args)) if o["kind"] in ("ClusterRole", "Role")]
        return sorted(r for role in roles for rule in role["rules"] for r in rule["resources"])
    assert resources() == ["events", "nodes", "nodes/status"]
    assert resources("--set", "node.condition=false") == ["events", "nodes"]
    assert resources("--set", "migConfig.whenBlocked=evict") == \
        ["events", "nodes", "nodes/status", "pods", "pods/eviction"]
    assert resources("--set", "gpuMemory.enabled=true") == \
        ["events", "nodes", "nodes/status", "pods"]


def test_switches_leave_out_what_they_name(helm):
    everything = objects(rendered(helm, "--no-hooks"))
    assert kinds(everything) == ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "Role", "RoleBinding",
                                 "RuntimeClass", "Service", "ServiceAccount",
                                 "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    off = [f"{name}.create=false" for name in ("rbac", "serviceAccount", "runtimeClass",
                                               "admissionPolicy", "metrics.service", "removeHook")]
    assert kinds(objects(rendered(helm, "--set", ",".join(off)))) == ["DaemonSet"]


def test_metrics_take_dcgm_exporters_place_where_asked(helm):
    found = objects(rendered(helm, "--set", "metrics.compatible=true"))
    service = next(o for o in found if o["kind"] == "Service")
    assert service["metadata"]["name"] == "nvidia-dcgm-exporter"
    assert service["metadata"]["labels"]["app"] == "nvidia-dcgm-exporter"
    assert service["spec"]["ports"][0]["name"] == "gpu-metrics"
    pod, container = agent(found)
    labels = next(o for o in found if o["kind"] == "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert {"name": "KERF_METRICS_BOARD_PER_SLICE", "value": "true"} in container["env"]


def test_the_page_is_off_unless_asked_for(helm):
    switch = {"name": "KERF_PAGE", "value": "true"}
    for words, wanted in ((), False), (("--set", "metrics.page=true"), True):
        _, container = agent(objects(rendered(helm, *words)))
        assert (switch in container["env"]) == wanted


def test_refuses_a_monitor_of_a_service_that_is_not_made(helm):
    done = helm("template", "kerf", CHART, "--set",
                "metrics.serviceMonitor.create=true,metrics.service.create=false")
    assert done.returncode != 0 and "metrics.podMonitor" in done.stderr


def test_without_metrics_there_is_no_port(helm):
    found = objects(rendered(helm, "--set", "metrics.enabled=false"))
    _, container = agent(found)
    assert "Service" not in kinds(found) and "ports" not in container
    assert "readinessProbe" not in container
    assert not [e for e in container["env"] if "METRICS" in e["name"] or "DCGM" in e["name"]]


def test_configurations_reach_kerf_word_for_word(helm):
    values = yaml.safe_load((HERE / "values/article.yaml").read_text())
    found = objects(rendered(helm, "--values", HERE / "values/article.yaml"))
    data = next(o for o in found if o["kind"] == "ConfigMap")["data"]
    assert data == values["config"]["map"]


def test_before_an_uninstall_the_agents_take_back_what_they_wrote(helm):
    found = objects(rendered(helm))
    hooks = [o for o in found if "helm.sh/hook" in o["metadata"].get("annotations", {})]
    assert kinds(hooks) == ["ClusterRole", "ClusterRoleBinding", "Job", "ServiceAccount"]
    assert {o["metadata"]["annotations"]["helm.sh/hook"] for o in hooks} == {"pre-delete"}
    job = next(o for o in hooks if o["kind"] == "Job")
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["remove", "--wait", "60s"]
    assert container["image"] == agent(found)[1]["image"]
    rules = next(o for o in hooks if o["kind"] == "ClusterRole")["rules"]
    assert [(r["resources"], r["verbs"]) for r in rules] == \
        [(["nodes"], ["list", "patch"]), (["nodes/status"], ["patch"])]
    # the agents' Services and selectors must not find the hook's pod
    daemon = next(o for o in found if o["kind"] == "DaemonSet")
    selector = daemon["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_sizes_are_rewritten_by_a_policy_a_webhook_or_not_at_all(helm):
    def made(*sets, version="1.36.0"):
        values = ",".join(("gpuMemory.enabled=true", *sets))
        return helm("template", "kerf", CHART, "--kube-version", version, "--set", values)

    def which(done):
        return {k for k in kinds(objects(done.stdout)) if "Mutating" in k or k == "Deployment"}
    assert which(made()) == {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"}
    hook = made("gpuMemory.admission=webhook", version="1.30.0")
    assert which(hook) == {"MutatingWebhookConfiguration", "Deployment"}
    assert which(made("gpuMemory.admission=off")) == set()
    refused = made(version="1.35.4")
    assert refused.returncode != 0 and "write gpuMemory.admission: webhook" in refused.stderr
    # whoever rewrites them, what cannot be had is refused by the same policy
    for done in (made(), hook):
        assert sum(o["kind"] == "ValidatingAdmissionPolicy" and o["metadata"]["name"] == "kerf-gpu-memory"
                   for o in objects(done.stdout)) == 1


def test_the_webhook_may_touch_its_secret_and_its_configuration_and_runs_as_nobody(helm):
    found = objects(rendered(helm, "--values", HERE / "values/webhook.yaml"))
    ours = {o["kind"]: o for o in found
            if o["metadata"].get("labels", {}).get("app.kubernetes.io/name") == "kerf-webhook"}
    assert ours["Role"]["rules"] == [{"apiGroups": [""], "resources": ["secrets"],
                                      "resourceNames": ["kerf-webhook"], "verbs": ["get", "patch"]}]
    assert ours["ClusterRole"]["rules"] == [{
        "apiGroups": ["admissionregistration.k8s.io"], "resources": ["mutatingwebhookconfigurations"],
        "resourceNames": ["kerf-gpu-memory"], "verbs": ["list", "watch", "patch"]}]
    pod = ours["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] and "volumes" not in pod
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in container["securityContext"] and "hostNetwork" not in pod
    selector = ours["Service"]["spec"]["selector"]
    agents = next(o for o in found if o["kind"] == "DaemonSet")["spec"]["template"]["metadata"]["labels"]
    assert any(agents.get(k) != v for k, v in selector.items())
    # every flag is one that the program knows
    words = {word.partition("=")[0] for word in container["args"]}
    assert words <= {"webhook", "--listen", "--namespace", "--service", "--secret", "--json-log"}
