import { Inject, Injectable, Logger, Optional } from '@nestjs/common';
import { type Database, DB1 } from '#postgres';
import { type Act, recordAct } from './act.js';

/** Records acts that are not statements in Database 1. Those that are use `recordedAs` or `recordAct`. */
@Injectable()
export class AuditLog {
  private readonly logger = new Logger('audit');

  constructor(@Optional() @Inject(DB1) private readonly db1?: Database) {}

  /**
   * Records an act that is about to begin. The act must not be done when this fails. A process without Database 1 writes it to its log (ADR 35).
   * @throws DatabaseUnavailableError, which is answered by 503.
   */
  async record(act: Act): Promise<void> {
    const { db1 } = this;
    if (db1) await recordAct((sql, parameters) => db1.query(sql, parameters), act);
    else this.logger.log({ code: 'act', message: describe(act) });
  }

  /** Records how an act ended that was recorded when it began. A failure is logged: the act cannot be undone. */
  async recordEnd(act: Act): Promise<void> {
    try {
      await this.record(act);
    } catch (error) {
      this.logger.warn({
        code: 'act-not-recorded',
        message: `Not in the audit log, because Database 1 refused it: ${describe(act)}. ${(error as Error).message}`,
      });
    }
  }
}

function describe({ action, target, actor, address, request_id, details = {} }: Act): string {
  return `Act ${action}${target ? ` of ${target}` : ''} by ${actor} from ${address ?? '-'}, request ${request_id ?? '-'}: ${JSON.stringify(details)}`;
}
