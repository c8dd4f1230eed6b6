import { ProblemException } from '#http';

/** A header of entity tags: any version, or those that are named. Undefined: the header is not there. */
type Tags = '*' | readonly number[] | undefined;

/** RFC 9110, 13.1. An ETag is the row's version, quoted. */
export interface Preconditions {
  readonly ifMatch: Tags;
  readonly ifNoneMatch: Tags;
}

/** @throws ProblemException 400 when a header is no list of entity tags. */
export function readPreconditions(headers: Readonly<Record<string, string | string[] | undefined>>): Preconditions {
  return {
    // Compared strongly: a weak tag is never equal. If-None-Match compares weakly.
    ifMatch: parse('If-Match', headers['if-match'], false),
    ifNoneMatch: parse('If-None-Match', headers['if-none-match'], true),
  };
}

/** Whether what is there has one of the tags. */
export function names(tags: Tags, version: number): boolean {
  return tags === '*' || (tags?.includes(version) ?? false);
}

export function etagOf(version: number): string {
  return `"${version}"`;
}

/** `current`: the version that is there. */
export function preconditionFailed(header: string, current: number | undefined): ProblemException {
  const detail = current === undefined ? `${header} does not hold: there is no such subscription` : `${header} does not hold`;
  return new ProblemException(
    'precondition-failed',
    detail,
    current === undefined ? {} : { current_version: current },
    current === undefined ? {} : { etag: etagOf(current) },
  );
}

const TAG = /[\s,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[^\S,]*(?=,|$)/y;

function parse(name: string, header: string | string[] | undefined, weakly: boolean): Tags {
  if (header === undefined) return undefined;
  const text = String(header).trim();
  if (text === '*') return '*';
  const versions: number[] = [];
  TAG.lastIndex = 0;
  let end = 0;
  for (let tag = TAG.exec(text); tag; tag = TAG.exec(text)) {
    end = TAG.lastIndex;
    // Another tag than a version is a valid one, and never ours.
    if ((tag[1] === undefined || weakly) && /^[1-9]\d{0,14}$/.test(tag[2]!)) versions.push(Number(tag[2]));
  }
  if (end === 0 || /[^\s,]/.test(text.slice(end))) {
    throw new ProblemException('invalid-request', `${name} must be * or a list of quoted entity tags`, {
      errors: [{ field: name, detail: 'must be * or a list of quoted entity tags, as in "42", "43"' }],
    });
  }
  return versions;
}
