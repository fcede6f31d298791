"""What the documents show is so: README's commands by hand, and the machine file of docs/sim.md."""
import pathlib
import re
import subprocess

TREE = pathlib.Path(__file__).resolve().parent.parent.parent


def test_the_machine_file_of_the_document_is_a_machine(kerf, tmp_path):
    text = (TREE / "docs/sim.md").read_text().split("## Machine files", 1)[1]
    lines = re.match(r"\s*((?:\t.*\n)+)", text).group(1)
    (tmp_path / "machine.yaml").write_text(re.sub(r"^\t", "", lines, flags=re.M))
    subprocess.run([kerf, "sim", "create", tmp_path / "machine.yaml", tmp_path / "m"], check=True)
    shown = subprocess.run([kerf, "status", "--root", tmp_path / "m/root"], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    assert len(re.findall(r"^gpu \d+ ", shown, re.M)) == 3, shown


def test_the_readme_by_hand(kerf, tmp_path):
    block = re.search(r"by hand, without Kubernetes:\n\n((?:    .*\n)+)",
                      (TREE / "README.md").read_text()).group(1)
    script = re.sub(r"^    (PATH=.*\n)?", "", block, flags=re.M).replace("/tmp/node", str(tmp_path))
    assert script.count("kerf ") >= 6
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], text=True,
                          stdout=subprocess.PIPE, cwd=tmp_path,
                          env={"PATH": f"{kerf.parent}:/usr/bin:/bin", "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert '"3g.20gb": 1' in done.stdout, done.stdout
