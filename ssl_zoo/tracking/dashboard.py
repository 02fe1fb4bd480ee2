"""`ssl-zoo dashboard`: a W&B workspace that shows all methods side by side, made of the names in `ssl_zoo.metrics`."""

from typing import Any

from ssl_zoo import metrics
from ssl_zoo.errors import InputError
from ssl_zoo.probes.health import FIGURES
from ssl_zoo.tracking.results import picture_files

GROUPS = ("method", "modality")  # of a run's config
LOSSES = (f"{metrics.TRAIN}/loss", f"{metrics.VALIDATION}/loss", metrics.LEARNING_RATE)
PROBES = (metrics.PROBE_LINEAR, metrics.PROBE_KNN)
# Of every representation, then of some methods alone.
HEALTH = (
    *(f"{metrics.HEALTH}/{name}" for name in FIGURES),
    metrics.HEALTH_ACTIVE_UNITS,
    metrics.PROJECTION_STD,
)
EFFICIENCY = (metrics.THROUGHPUT, metrics.DATA_WAIT)


def dashboard(entity: str, project: str = "ssl_zoo", name: str = "ssl_zoo: methods side by side") -> None:
    """Makes a workspace in a W&B project: loss, probes, health and efficiency of its runs, by method and modality.

    Args:
        entity: user or team that owns the project.
        project: W&B project of the runs.
        name: name of the workspace.

    Raises:
        InputError: the `dashboard` extra is not installed, or W&B refuses.
    """
    from ssl_zoo.tracking.wandb import has_wandb_key

    made = workspace(entity, project, name)
    if not has_wandb_key():
        raise InputError("dashboard: W&B does not know you: run `wandb login` first.")
    try:
        made.save()
    except Exception as error:  # of the network, of the server or of the account: wandb has many kinds
        reason = " ".join(str(error).split())
        raise InputError(f"dashboard: W&B did not take the workspace for {entity}/{project}: {reason}.") from error
    print(f"Dashboard: {made.url}")


def workspace(entity: str, project: str, name: str) -> Any:
    """The workspace, not saved yet; nothing is asked of the network.

    Args:
        entity: user or team.
        project: W&B project of the runs.
        name: name of the workspace.

    Returns:
        A `wandb_workspaces.workspaces.Workspace`.
    """
    try:
        import wandb_workspaces.reports.v2 as panels
        import wandb_workspaces.workspaces as workspaces
    except ImportError as error:
        raise InputError(
            "dashboard: the package wandb-workspaces is missing: `uv run --extra dashboard ssl-zoo dashboard ...`."
        ) from error

    def curves(names: tuple[str, ...]) -> list[Any]:
        return [panels.LinePlot(title=each, x=metrics.STEP, y=[each]) for each in names]

    def bars(names: tuple[str, ...]) -> list[Any]:
        return [panels.BarPlot(title=each, metrics=[panels.SummaryMetric(each)]) for each in names]

    def against(cost: str) -> Any:
        accuracy = metrics.RESULT_LINEAR
        return panels.ScatterPlot(
            title=f"{accuracy} against {cost}",
            x=panels.SummaryMetric(cost),
            y=panels.SummaryMetric(accuracy),
            log_x=True,
        )

    contents = {
        "Loss": curves(LOSSES),
        "Probes": curves(PROBES) + bars((metrics.RESULT_LINEAR, metrics.RESULT_KNN)),
        "Health": curves(HEALTH),
        "Efficiency": curves(EFFICIENCY) + [against(cost) for cost in metrics.COSTS],
        "Pictures": [panels.MediaBrowser(title=each, media_keys=[each]) for each in picture_files()],
    }
    return workspaces.Workspace(
        entity=entity,
        project=project,
        name=name,
        sections=[workspaces.Section(name=title, panels=each, is_open=True) for title, each in contents.items()],
        settings=workspaces.WorkspaceSettings(x_axis=metrics.STEP, max_runs=100),
        runset_settings=workspaces.RunsetSettings(groupby=[workspaces.Config(group) for group in GROUPS]),
    )
