"""A real Prometheus that watches real relays under load: what the dashboard's queries answer, and its pictures."""

import json
import pathlib
import urllib.parse
import urllib.request

import harness

JOB = "sse-relay"


class Prometheus:
    """Scrapes @targets (address:port) each second, with the alerts' rules."""

    def __init__(self, directory, targets, rules=None):
        self.port = harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)] if rules else [],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
        }
        file = pathlib.Path(directory) / "prometheus.yml"
        file.write_text(json.dumps(config))  # JSON is YAML
        argv = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory}/tsdb",
                f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]
        self.process = harness.Process(argv, directory, "prometheus")

    def get(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)["data"]["result"]

    def query(self, expr):
        """The samples of an expression, now: [(labels, value)]."""
        return [(sample["metric"], float(sample["value"][1])) for sample in self.get("query", query=expr)]

    def query_range(self, expr, start, end, step):
        """Its series: [(labels, [(time, value)])]."""
        found = self.get("query_range", query=expr, start=start, end=end, step=step)
        return [(series["metric"], [(time, float(value)) for time, value in series["values"]]) for series in found]

    def scraped(self, targets):
        """Whether it has seen that many targets, and each of them twice, so that rates are there."""
        try:
            return len(self.query(f'count_over_time(up{{job="{JOB}"}}[1m]) > 4')) == targets
        except OSError:
            return False


def targets(panels):
    """(panel, expression, legend) of each query of a dashboard's panels."""
    return [(panel, target["expr"], target.get("legendFormat", "")) for panel in panels for target in panel.get("targets", [])]


def filled_in(expr, interval="5s"):
    """An expression as Grafana would send it with everything selected."""
    return expr.replace("$__rate_interval", interval).replace("$job", ".*").replace("$instance", ".*")
