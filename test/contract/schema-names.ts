/** Matches the declaration of a class at the beginning of a line. */
const CLASS = /^(?:export )?(?:abstract )?class (\w+)/gm;

/**
 * Returns the names that two classes with documented properties share, each with its files. @nestjs/swagger names a schema after its class, and
 * the class that it meets last replaces the schema of the other.
 * @param sources the texts of the files by path.
 */
export function sharedSchemaNames(sources: Readonly<Record<string, string>>): string[] {
  const files = new Map<string, string[]>();
  for (const [path, text] of Object.entries(sources)) {
    if (!/\bApiProperty(?:Optional)?\(/.test(text)) continue;
    for (const [, name] of text.matchAll(CLASS)) files.set(name!, [...(files.get(name!) ?? []), path]);
  }
  return [...files].filter(([, paths]) => paths.length > 1).map(([name, paths]) => `${name}: ${paths.join(', ')}`);
}
