"""The nodes of tests/node, whose agents serve metrics."""
import importlib.util

import support

spec = importlib.util.spec_from_file_location("node_conftest",
                                              support.TREE / "tests" / "node" / "conftest.py")
node_conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(node_conftest)
make_node, node = node_conftest.make_node, node_conftest.node
pytest_runtest_makereport = node_conftest.pytest_runtest_makereport
pytest_runtest_logreport = node_conftest.pytest_runtest_logreport
