"""A coin that talks all the time: 10 KB of output for each question that is made."""

from swarm_tasks_for_tests import Coin

from swarm_ray.tasks.task import TaskQuestion, register


class Loud(Coin):
    """Prints far more than a pipe holds."""

    name = "loud"

    def question(self, seed: int, index: int) -> TaskQuestion:
        print("x" * 10_000, flush=True)  # noqa: T201
        return super().question(seed, index)


register("loud", Loud)
