"""From a label to pods on slices, on an 8xA100 node."""
import re
import subprocess

from cluster import HERE, MIG_CONFIG, NODE, wait_for
from pods import capabilities, given, pod

SEVEN = {"nvidia.com/mig-1g.5gb": 56}


def test_a_label_gives_56_pods_56_slices(cluster, agent, kerf, machine):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.wait_allocatable(SEVEN)

    cluster.create(*[pod(f"p{i}", "mig-1g.5gb") for i in range(57)])
    cluster.wait_phases({"Running": 56, "Pending": 1}, seconds=180)
    waiting = next(n for n, p in cluster.pods().items() if p["status"]["phase"] == "Pending")
    assert "Insufficient nvidia.com/mig-1g.5gb" in cluster.troubles()

    reports = {f"p{i}": given(cluster, f"p{i}") for i in range(57) if f"p{i}" != waiting}
    nodes = capabilities(kerf, machine)
    for name, report in reports.items():
        check_report(name, report, nodes)
    assert len({r.uuids[0] for r in reports.values()}) == 56
    assert len({tuple(r.caps) for r in reports.values()}) == 56
    gpus = [r.gpus[0] for r in reports.values()]
    assert {gpu: gpus.count(gpu) for gpu in gpus} == {f"/dev/nvidia{i}": 7 for i in range(8)}

    # One ends, and the one that waits runs on its slice.
    ended = next(iter(reports))
    cluster.delete_pods(ended)
    cluster.wait_phases({"Running": 56})
    assert given(cluster, waiting).uuids == reports[ended].uuids


def check_report(name, report, nodes):
    """One slice: its parent and its two capabilities, no other; the control nodes; the driver."""
    assert len(report.uuids) == 1, f"{name} has {report.uuids}"
    assert report.named == report.uuids, f"{name} has {report.uuids}, sees {report.env}"
    gpu, caps = nodes[report.uuids[0]]
    assert (report.gpus, report.caps) == ([gpu], caps), f"{name}: {report.devices}"
    assert "/dev/nvidiactl" in report.devices and "/dev/nvidia-uvm" in report.devices
    for folder, names in report.libraries.items():
        for soname in ("libnvidia-ml.so.1", "libcuda.so.1"):
            assert soname in names, f"{name}: no {soname} in {folder}: {sorted(names)}"
    assert "LD_LIBRARY_PATH" not in report.env


def test_the_article_to_the_letter(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    command = (HERE / "article/label.sh").read_text().replace("<node>", NODE)
    subprocess.run(["bash", "-c", f'eval "$(./cluster.sh env)"; {command}'], cwd=HERE,
                   env=cluster.env, check=True, capture_output=True)
    cluster.wait_state("success")
    cluster.wait_allocatable(SEVEN)
    cluster.kubectl("apply", "-f", str(HERE / "article/mig-pod.yaml"))
    cluster.wait_phases({"Running": 1})


def test_a_label_that_is_no_configuration_changes_nothing(cluster, agent):
    agent.start("--mig-strategy", "mixed")
    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    cluster.create(pod("p", "mig-1g.5gb"))
    cluster.wait_phases({"Running": 1})
    since = cluster.now()

    cluster.label(MIG_CONFIG, "all-1g.6gb")
    cluster.wait_state("failed")
    assert "all-1g.6gb" in cluster.reason()
    wait_for(lambda: f"an Event that names it: {cluster.events(since)}",
             lambda: any("all-1g.6gb" in message for _, message in cluster.events(since)))
    assert cluster.allocatable() == SEVEN
    cluster.create(pod("q", "mig-1g.5gb"))
    cluster.wait_phases({"Running": 2})

    cluster.label(MIG_CONFIG, "all-1g.5gb")
    cluster.wait_state("success")
    assert cluster.reason() == ""


def test_a_configuration_from_a_file_of_mig_parted(cluster, agent, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("""version: v1
mig-configs:
  halves:
    - devices: [0, 1]
      mig-enabled: true
      mig-devices: {3g.20gb: 2}
    - devices: [2, 3, 4, 5, 6, 7]
      mig-enabled: false
""")
    agent.start("--mig-strategy", "mixed", "--mig-config", str(path))
    cluster.label(MIG_CONFIG, "halves")
    cluster.wait_state("success")
    cluster.wait_allocatable({"nvidia.com/mig-3g.20gb": 4, "nvidia.com/gpu": 6})
    cluster.create(pod("slice", "mig-3g.20gb"), pod("whole", "gpu"))
    cluster.wait_phases({"Running": 2})
    whole = given(cluster, "whole")
    assert whole.caps == [] and re.fullmatch(r"/dev/nvidia[2-7]", whole.gpus[0]), whole.devices
