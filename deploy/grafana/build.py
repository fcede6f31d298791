#!/usr/bin/python3
"""kerf.json, the dashboard as Grafana imports it, made of dashboard.yaml: `deploy/grafana/build.py`.

`build.py -` prints it instead; tests compare that with what lies here.
"""
import json
import pathlib
import sys

import yaml

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 24, 8


def target(panel, at, letter, legend, text):
    one = {"refId": letter, "datasource": SOURCE, "expr": text.replace("$at", at),
           "legendFormat": legend}
    return {**one, "instant": True, "format": "table"} if panel["type"] == "table" else one


def options(panel):
    """What a kind of panel wants besides its queries."""
    if panel["type"] == "stat":
        return {"options": {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "value_and_name"}}
    if panel["type"] == "table":
        keep = {"include": {"names": panel["columns"]}}
        order = {"indexByName": {name: i for i, name in enumerate(panel["columns"])}}
        return {"transformations": [{"id": "filterFieldsByName", "options": keep},
                                    {"id": "organize", "options": order}]}
    return {"options": {"legend": {"displayMode": "list", "placement": "bottom"},
                        "tooltip": {"mode": "multi", "sort": "desc"}}}


def field(panel):
    """Units, limits and how lines are drawn."""
    defaults = {"unit": panel.get("unit", "short")}
    if panel["type"] == "timeseries":
        defaults["min"] = 0
        stack = "normal" if panel.get("stack") else "none"
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 30 if panel.get("stack") else 5,
                              "stacking": {"mode": stack, "group": "A"}}
    if "most" in panel:
        defaults["max"] = panel["most"]
    return {"defaults": defaults, "overrides": []}


def drawn(panel, number, at, x, y):
    queries = enumerate(panel["queries"].items())
    return {"id": number, "type": panel["type"], "title": panel["title"], "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel["width"], "h": HEIGHT},
            "targets": [target(panel, at, "ABCDEF"[i], *query) for i, query in queries],
            "fieldConfig": field(panel), **options(panel)}


def panels(source):
    """All of them, from left to right and row by row."""
    found, y = [], 0
    for row in source["rows"]:
        found.append({"id": len(found) + 1, "type": "row", "title": row["title"], "collapsed": False,
                      "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}, "panels": []})
        x, y = 0, y + 1
        for panel in row["panels"]:
            if x + panel["width"] > WIDTH:
                x, y = 0, y + HEIGHT
            found.append(drawn(panel, len(found) + 1, source["at"], x, y))
            x += panel["width"]
        y += HEIGHT
    return found


def variable(name, query):
    return {"name": name, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2,
            "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": "All", "value": "$__all"}}


def dashboard(source):
    chosen = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "source"}
    variables = [variable(*one) for one in source["variables"].items()]
    return {"title": source["title"], "uid": source["uid"], "tags": ["gpu", "kerf"],
            "schemaVersion": 37, "version": 1, "editable": True, "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"}, "timezone": "",
            "templating": {"list": [chosen, *variables]}, "panels": panels(source)}


def main():
    source = yaml.safe_load((HERE / "dashboard.yaml").read_text())
    text = json.dumps(dashboard(source), indent=1) + "\n"
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(text)
    else:
        (HERE / "kerf.json").write_text(text)


if __name__ == "__main__":
    main()
