"""kerf as people expect it of a command: help, exit statuses, the man page, completion."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest

SHELLS = ("bash", "zsh", "fish")
STATUSES = {"0", "1", "2", "3", "4"}


def run(*args, stdin=None, **env):
    """A finished process, its output as text."""
    return subprocess.run([*map(str, args)], text=True, capture_output=True, check=False,
                          input=stdin or "", env={**os.environ, **env}, timeout=60)


def commands(kerf):
    """The commands that `kerf help` lists."""
    listed = re.findall(r"^  ([a-z]+)  +\S", run(kerf, "help").stdout, re.M)
    assert len(listed) >= 12
    return listed


def options(kerf, command):
    """The long options that a usage text names in its synopsis."""
    usage = run(kerf, "help", command).stdout.split("\n\n")[0]
    return set(re.findall(r"(?<=[\[ ])--[a-z-]+", usage))


def test_every_command_has_help_in_all_three_ways(kerf):
    for name in commands(kerf):
        one = run(kerf, "help", name)
        assert one.returncode == 0 and one.stdout.startswith(f"usage: kerf {name}")
        for flag in ("--help", "-h"):
            other = run(kerf, name, flag)
            assert (other.returncode, other.stdout) == (0, one.stdout)


def test_help_behind_a_subcommand_is_help(kerf):
    for words in (("config", "show", "--help"), ("sim", "create", "-h")):
        done = run(kerf, *words)
        assert done.returncode == 0 and done.stdout == run(kerf, "help", words[0]).stdout
    assert "kerf sim apiserver" in run(kerf, "sim", "apiserver", "--help").stdout[:40]


def test_help_explains_every_exit_status(kerf):
    out = run(kerf, "help").stdout
    assert set(re.findall(r"^  (\d)  ", out.split("Exit status:")[1], re.M)) == STATUSES


def test_without_a_command_help_goes_to_standard_error(kerf):
    done = run(kerf)
    assert done.returncode == 2 and done.stdout == "" and "usage: kerf COMMAND" in done.stderr


def test_a_slip_is_answered_with_what_was_meant(kerf):
    for words in (("stauts",), ("help", "stauts")):
        done = run(kerf, *words)
        assert done.returncode == 2 and "did you mean status?" in done.stderr
    assert "did you mean" not in run(kerf, "zzzzzzzz").stderr


def test_what_is_not_expected_is_refused_with_status_2(kerf):
    for words in (("status", "nonsense"), ("doctor", "--nonsense"), ("doctor", "-o", "xml"),
                  ("completion",), ("completion", "csh")):
        done = run(kerf, *words)
        assert done.returncode == 2 and done.stderr and done.stdout == "", words


# --- the man page --------------------------------------------------------------------------------

def rendered(kerf, tmp_path):
    """The man page as a reader sees it, without bold and underlining."""
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    page = tmp_path / "kerf.1"
    page.write_text(run(kerf, "help", "--man").stdout)
    done = run("groff", "-man", "-Tascii", "-ww", "-rLL=100n", "-P-cbou", page)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout


def test_the_man_page_renders_without_a_warning_and_has_every_command(kerf, tmp_path):
    text = rendered(kerf, tmp_path)
    for name in commands(kerf):
        assert f"   kerf {name}\n" in text
    for heading in ("NAME", "SYNOPSIS", "COMMANDS", "EXIT STATUS", "ENVIRONMENT"):
        assert f"\n{heading}\n" in text


def test_the_man_page_has_usage_texts_letter_by_letter(kerf, tmp_path):
    text = re.sub(r"\s+", " ", rendered(kerf, tmp_path))
    for name in commands(kerf):
        usage = re.sub(r"\s+", " ", run(kerf, "help", name).stdout).strip()
        assert usage in text


def test_the_man_page_has_every_flag_of_the_agent(kerf, tmp_path):
    text = rendered(kerf, tmp_path)
    flags = re.findall(r"^ +(--[a-z-]+)", run(kerf, "agent", "--flags").stdout, re.M)
    assert len(flags) >= 25
    for flag in flags:
        assert re.search(rf"^ +{flag}\b", text, re.M), flag


def test_the_man_page_is_the_one_that_is_installed(kerf):
    page = pathlib.Path(kerf).parent / "docs/kerf.1"
    if not page.exists():
        pytest.skip("the pages are not built: ninja pages")
    assert page.read_text() == run(kerf, "help", "--man").stdout


# --- completion ----------------------------------------------------------------------------------

@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_is_one_that_its_shell_can_read(kerf, tmp_path, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "script"
    script.write_text(run(kerf, "completion", shell).stdout)
    done = run(shell, "-n", script)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_completion_script_has_every_command_and_option(kerf, shell):
    script = run(kerf, "completion", shell).stdout
    for name in commands(kerf):
        assert re.search(rf"\b{name}\b", script)
        for option in options(kerf, name):
            wanted = f"-l {option[2:]}" if shell == "fish" else option
            assert wanted in script, (name, option)


def bash_completes(kerf, tmp_path, *words):
    """What bash offers for the last of these words."""
    script = tmp_path / "kerf.bash"
    script.write_text(run(kerf, "completion", "bash").stdout)
    done = run("bash", "-c", f'. {script}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kerf; '
               'printf "%s\\n" "${COMPREPLY[@]}"', "-", *words)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_subcommands_flags_and_values(kerf, tmp_path):
    assert bash_completes(kerf, tmp_path, "kerf", "st") == ["status"]
    assert bash_completes(kerf, tmp_path, "kerf", "help", "doc") == ["doctor"]
    assert bash_completes(kerf, tmp_path, "kerf", "config", "") == ["check", "show", "schema",
                                                                    "docs"]
    assert bash_completes(kerf, tmp_path, "kerf", "agent", "--mig-s") == ["--mig-strategy"]
    values = ["none", "single", "mixed"]
    assert bash_completes(kerf, tmp_path, "kerf", "agent", "--mig-strategy", "") == values
    assert bash_completes(kerf, tmp_path, "kerf", "agent", "--mig-strategy", "=") == values
    assert bash_completes(kerf, tmp_path, "kerf", "doctor", "--mig-strategy", "=",
                          "m") == ["mixed"]
    assert bash_completes(kerf, tmp_path, "kerf", "plan", "--output", "") == ["json", "yaml"]
    assert bash_completes(kerf, tmp_path, "kerf", "config", "check", "") == []  # thus files


def test_fish_completes_commands_subcommands_and_values(kerf, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    script = tmp_path / "kerf.fish"
    script.write_text(run(kerf, "completion", "fish").stdout)

    def completes(line):
        done = run("fish", "--no-config", "-c", f"source {script}; complete -C '{line}'",
                   HOME=str(tmp_path))
        return [row.split("\t")[0] for row in done.stdout.splitlines()]

    assert completes("kerf stat") == ["status"]
    assert {"check", "show", "schema", "docs"} <= set(completes("kerf config "))
    assert sorted(completes("kerf agent --mig-strategy ")) == ["mixed", "none", "single"]
    assert "--kubelet-dir" in completes("kerf doctor --kube")
