import { readFileSync } from 'node:fs';
import type { StatusTransitions, TransitionsFile } from './settings.js';

const EXAMPLE = '{"trial": {"next": ["paid", "gone"]}, "paid": {"next": ["gone"]}, "gone": {"reactivated": ["paid"]}}';
const LISTS = ['next', 'reactivated'];

/**
 * Reads a file of status transitions: an object with an entry for each status, whose lists `next` and `reactivated` are empty if they are
 * absent. Adds to `problems` what is wrong with it. Whether the statuses are those of the table is checked when the table is known.
 */
export function readTransitions(variable: string, file: string, problems: string[]): TransitionsFile | undefined {
  const content = parse(variable, file, problems);
  if (content === undefined) return undefined;
  if (!isObject(content) || Object.keys(content).length === 0) {
    problems.push(`${variable}: ${file} must have an object with an entry for each status, such as ${EXAMPLE}`);
    return undefined;
  }
  const found = Object.entries(content).flatMap(([status, entry]) => entryProblems(status, entry, content));
  problems.push(...found.map((problem) => `${variable}: ${file} ${problem}`));
  if (found.length > 0) return undefined;
  const entries = Object.entries(content as Record<string, Partial<StatusTransitions[string]>>);
  return {
    file,
    transitions: Object.fromEntries(entries.map(([status, { next = [], reactivated = [] }]) => [status, { next, reactivated }])),
  };
}

function parse(variable: string, file: string, problems: string[]): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    problems.push(`${variable}: ${file} cannot be read (${(error as Error).message}). Correct the path, or make the file readable`);
    return undefined;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    problems.push(`${variable}: ${file} is not valid JSON (${(error as Error).message}). Correct the file; it looks like ${EXAMPLE}`);
    return undefined;
  }
}

function entryProblems(status: string, entry: unknown, content: object): string[] {
  const name = JSON.stringify(status);
  if (!isObject(entry)) return [`must have an object as the entry of ${name}, such as {"next": [], "reactivated": []}`];
  const unknown = Object.keys(entry).filter((key) => !LISTS.includes(key));
  if (unknown.length > 0) {
    return unknown.map(
      (key) => `has ${JSON.stringify(key)} in the entry of ${name}, which may have next and reactivated only. Correct the name`,
    );
  }
  return Object.entries(entry).flatMap(([list, statuses]) => {
    if (!Array.isArray(statuses) || statuses.some((each) => typeof each !== 'string')) {
      return [`must have a list of statuses as ${list} of ${name}, such as ["paid", "gone"]`];
    }
    const strangers = (statuses as string[]).filter((each) => !Object.hasOwn(content, each));
    return strangers.map(
      (each) => `names ${JSON.stringify(each)} in ${list} of ${name} without an entry of its own. Correct the name, or add an entry`,
    );
  });
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
