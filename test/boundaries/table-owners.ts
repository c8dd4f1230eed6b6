import ts from 'typescript';

/** The library that owns a table, and exceptions: libraries that may write it too, and libraries that may only read it. */
export interface TableRule {
  readonly owner: string;
  readonly writers?: readonly string[];
  readonly readers?: readonly string[];
}

/** The way in which a statement uses a table. */
export interface TableUse {
  readonly library: string;
  readonly table: string;
  readonly use: 'reads' | 'writes';
}

/** Keywords before a table's name. DDL, locks and publications count as writes: they are the owner's business. */
const WRITES =
  /\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE(?:\s+TABLE)?|(?:CREATE|ALTER|DROP|LOCK)\s+(?:UNLOGGED\s+)?TABLE|FOR\s+TABLE)\s+/;
const READS = /\b(?:FROM|JOIN|USING|COPY)\s+/;
const MODIFIERS = String.raw`(?:(?:ONLY|IF\s+EXISTS|IF\s+NOT\s+EXISTS)\s+)*`;

/**
 * Finds the tables that the SQL of a TypeScript source names, in its strings and templates, after keywords in capitals; comments do not count.
 * `tables` are names with their schemas, or names alone for tables that the search_path finds.
 */
export function tableUses(library: string, source: string, tables: readonly string[]): TableUse[] {
  const names = `(${tables.map(pattern).join('|')})(?![\\w.])`;
  const writes = new RegExp(WRITES.source + MODIFIERS + names, 'g');
  const reads = new RegExp(READS.source + MODIFIERS + names, 'g');
  const found = new Map<string, TableUse>();
  const add = (name: string, use: TableUse['use']): void => {
    const written = name.replaceAll('"', '').toLowerCase();
    const table = tables.find((known) => new RegExp(`^${pattern(known)}$`).test(written))!;
    found.set(`${table} ${use}`, { library, table, use });
  };
  for (const text of literals(source)) {
    const rest = text.replace(writes, (_match, table: string) => {
      add(table, 'writes');
      return '';
    });
    for (const [, table] of rest.matchAll(reads)) add(table!, 'reads');
  }
  return [...found.values()];
}

/** Returns a pattern for a table's name in SQL, whose parts may be quoted. An interpolated schema leaves only the dot. */
function pattern(table: string): string {
  const [schema, name] = table.split('.') as [string, string?];
  return name === undefined ? `(?:"?public"?\\.)?"?${table}"?` : `(?:"?${schema}"?)?\\."?${name}"?`;
}

/** Returns the uses that break a rule. A table without a rule breaks it. */
export function violations(uses: readonly TableUse[], rules: Readonly<Record<string, TableRule>>): TableUse[] {
  return uses.filter(({ library, table, use }) => {
    const rule = rules[table];
    if (!rule) return true;
    const { owner, writers = [], readers = [] } = rule;
    return ![owner, ...writers, ...(use === 'reads' ? readers : [])].includes(library);
  });
}

/** The users' table, whose name is interpolated from its description, as a variable or a member that is called sql. */
const DESCRIBED_TABLE = 'subscriptions';

/** Returns the text for an interpolation: the name of the users' table, or a space. */
function interpolated(expression: ts.Expression): string {
  const name = ts.isPropertyAccessExpression(expression) ? expression.name : expression;
  return ts.isIdentifier(name) && name.text === 'sql' ? DESCRIBED_TABLE : ' ';
}

/** Texts of all string literals and templates of a source; an interpolation becomes a space, or the name of the users' table. */
function literals(source: string): string[] {
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node)) texts.push(node.text);
    else if (ts.isTemplateExpression(node)) {
      texts.push([node.head.text, ...node.templateSpans.map((span) => `${interpolated(span.expression)}${span.literal.text}`)].join(''));
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('source.ts', source, ts.ScriptTarget.ES2023, true));
  return texts;
}
