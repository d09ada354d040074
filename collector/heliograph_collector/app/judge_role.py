"""The judge role: it judges the journal into the store, in this process and in others."""

from collections.abc import Sequence

from heliograph_collector.app.context import AppContext
from heliograph_collector.app.judge_messages import VERSION, JudgeSetup
from heliograph_collector.app.judge_workers import JudgeWorkers
from heliograph_collector.app.worker_count import choose_worker_count
from heliograph_collector.control import Assessor
from heliograph_collector.fleet.signed_lists import SignedLists
from heliograph_collector.judge import judge
from heliograph_collector.judge.row_judge import RowJudge
from heliograph_collector.judge.writer import BlockListener, StoreWriter
from heliograph_collector.store.store import Store


def build_judge(context: AppContext) -> JudgeWorkers:
    """Build the judge of journal rows; its `run` starts processes for it."""
    services = context.services.services
    lists = SignedLists(context.config.data)
    return JudgeWorkers(
        Assessor(judge, services),
        JudgeSetup(
            version=VERSION,
            data=str(context.config.data),
            secret=context.keyring.secret,
            services=list(services),
        ),
        context.journal,
        lists,
        limit=choose_worker_count(context.config.judge_workers),
        clock=context.clock,
        rng=context.rng,
        registry=context.registry,
    )


def build_writer(
    context: AppContext, store: Store, judge: RowJudge, listeners: Sequence[BlockListener] = ()
) -> StoreWriter:
    """Build the judge role: it judges the journal into the store, and passes on stored blocks."""
    return StoreWriter(
        context.journal,
        store,
        judge,
        clock=context.clock,
        expiry=context.expiry,
        rng=context.rng,
        listeners=listeners,
    )
