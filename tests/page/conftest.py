"""The nodes of tests/node, whose agents serve the page as well; support is tests/metrics's."""
import importlib.util
import pathlib
import sys

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "metrics"), str(TESTS / "node")]
spec = importlib.util.spec_from_file_location("node_conftest", TESTS / "node" / "conftest.py")
node_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(node_conftest)
make_node, node = node_conftest.make_node, node_conftest.node
pytest_runtest_makereport = node_conftest.pytest_runtest_makereport
pytest_runtest_logreport = node_conftest.pytest_runtest_logreport
