import { ConflictException, Inject, NotFoundException } from '@nestjs/common';
import { Command, CommandHandler, type ICommandHandler } from '@nestjs/cqrs';
import { type Act, type Initiator, recordedAs } from '#audit';
import { type Database, DB1, isUniqueViolation } from '#postgres';
import { openRunStatement, type RunRequest, yieldScheduledRun } from './runs.js';
import { RunScheduler } from './scheduler.js';

/** A connection to DB1: the server's, or one that a command line has opened. */
export type RunDatabase = Pick<Database, 'query'>;

/**
 * Requests a run. A sync process that knows DB2 works on it. A scheduled run that is in progress gives way, and continues afterwards.
 * @returns its id. @throws ConflictException while another run is unfinished and not paused.
 */
export async function requestRun(db1: RunDatabase, request: Partial<RunRequest>, by: Initiator): Promise<number> {
  const [run] = await db1.query<{ id: number }>(...openRunStatement(request, 0, startAct(request, by)));
  if (!run) throw new ConflictException('A run is already in progress: wait for it, pause it or cancel it');
  return run.id;
}

/** The entry does not have the bounds of the range, which are emails; the run has them. */
function startAct({ kind = 'compare', after_email = '', until_email = null, ...request }: Partial<RunRequest>, by: Initiator): Act {
  const { scope, repair, load, rate } = request;
  const details = { kind, all_rows: after_email === '' && until_email === null, scope, repair, load, rate };
  return { ...by, action: kind === 'compare' ? 'run.start' : 'backfill.start', details };
}

/** Pauses a run: it keeps its position, and other runs may start. @throws NotFoundException; ConflictException when it has ended. */
export async function pauseRun(db1: RunDatabase, id: number, by: Initiator): Promise<void> {
  await changeRun(db1, id, 'paused = true, yielded = false', { ...by, action: 'run.pause' });
}

/** Resumes a run at its position, before a scheduled run that is in progress. @throws NotFoundException; ConflictException when it has ended, or another run is unfinished. */
export async function resumeRun(db1: RunDatabase, id: number, by: Initiator): Promise<void> {
  try {
    await changeRun(db1, id, 'paused = false, yielded = false', { ...by, action: 'run.resume' }, true);
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new ConflictException('Another run is in progress: wait for it, pause it or cancel it');
  }
}

/**
 * Cancels a run. What it has repaired or published by then stays. A process that works on the run notices it at the end of its current
 * step, within seconds; a paused run has no such process and ends at once.
 * @throws NotFoundException; ConflictException when it has ended.
 */
export async function cancelRun(db1: RunDatabase, id: number, by: Initiator): Promise<void> {
  const isIdle = 'paused AND (runner IS NULL OR lease_until < clock_timestamp())';
  await changeRun(
    db1,
    id,
    `cancel_requested = true, outcome = CASE WHEN ${isIdle} THEN 'cancelled' END,
     finished_at = CASE WHEN ${isIdle} THEN clock_timestamp() END`,
    { ...by, action: 'run.cancel' },
  );
}

/** Whether the run with the id $1 can be resumed. */
const IS_PAUSED = 'EXISTS (SELECT FROM subscription_sync.reconciliation_runs WHERE id = $1 AND finished_at IS NULL AND paused)';

async function changeRun(db1: RunDatabase, id: number, assignments: string, act: Act, goesFirst = false): Promise<void> {
  const [found] = await db1.query<{ changed: boolean }>(
    `WITH ${yieldScheduledRun(goesFirst ? IS_PAUSED : 'false')}, changed AS (
       UPDATE subscription_sync.reconciliation_runs SET ${assignments}
       WHERE id = $1 AND finished_at IS NULL AND (SELECT count(*) FROM gave_way) >= 0 RETURNING id), ${recordedAs(2, 'changed', 'changed.id::text')}
     SELECT EXISTS (SELECT FROM changed) AS changed FROM subscription_sync.reconciliation_runs WHERE id = $1`,
    [id, act],
  );
  if (!found) throw runNotFound();
  if (!found.changed) throw new ConflictException('The run has already ended');
}

export function runNotFound(): NotFoundException {
  return new NotFoundException('There is no run with this id');
}

/** Starts a run: a comparison of both databases, or a backfill. Fails with 409 while another run is in progress, unless it is a scheduled one. Returns its id. */
export class StartRunCommand extends Command<number> {
  constructor(
    readonly request: Partial<RunRequest>,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(StartRunCommand)
export class StartRunHandler implements ICommandHandler<StartRunCommand> {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly scheduler: RunScheduler,
  ) {}

  async execute({ request, by }: StartRunCommand): Promise<number> {
    const id = await requestRun(this.db1, request, by);
    this.scheduler.noticeSoon();
    return id;
  }
}

/** Pauses a run. Fails with 404, and with 409 when it has ended. */
export class PauseRunCommand extends Command<void> {
  constructor(
    readonly id: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(PauseRunCommand)
export class PauseRunHandler implements ICommandHandler<PauseRunCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  execute({ id, by }: PauseRunCommand): Promise<void> {
    return pauseRun(this.db1, id, by);
  }
}

/** Resumes a paused run. Fails with 404, and with 409 when it has ended or another run is unfinished. */
export class ResumeRunCommand extends Command<void> {
  constructor(
    readonly id: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(ResumeRunCommand)
export class ResumeRunHandler implements ICommandHandler<ResumeRunCommand> {
  constructor(
    @Inject(DB1) private readonly db1: Database,
    private readonly scheduler: RunScheduler,
  ) {}

  async execute({ id, by }: ResumeRunCommand): Promise<void> {
    await resumeRun(this.db1, id, by);
    this.scheduler.noticeSoon();
  }
}

/** Cancels a run. Fails with 404, and with 409 when it has ended. */
export class CancelRunCommand extends Command<void> {
  constructor(
    readonly id: number,
    readonly by: Initiator,
  ) {
    super();
  }
}

@CommandHandler(CancelRunCommand)
export class CancelRunHandler implements ICommandHandler<CancelRunCommand> {
  constructor(@Inject(DB1) private readonly db1: Database) {}

  execute({ id, by }: CancelRunCommand): Promise<void> {
    return cancelRun(this.db1, id, by);
  }
}
