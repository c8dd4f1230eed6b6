import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Dead letters get a state, so that people can work on them. `changed_at`: of the last redrive or discard. */
export class WorkOnDeadLetters1764000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE dead_letters
        ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'applied', 'superseded', 'discarded')),
        ADD COLUMN redrives integer NOT NULL DEFAULT 0,
        ADD COLUMN changed_at timestamptz;
      CREATE INDEX dead_letters_state ON dead_letters (state, id);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE dead_letters DROP COLUMN state, DROP COLUMN redrives, DROP COLUMN changed_at');
  }
}
