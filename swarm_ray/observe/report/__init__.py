"""What a run looks like: figures and pages, from its folder alone."""

from swarm_ray.observe.report.page import write_report
from swarm_ray.observe.report.reward_charts import reward_figure

__all__ = ["reward_figure", "write_report"]
