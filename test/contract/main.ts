import 'reflect-metadata';
import { writeFileSync } from 'node:fs';
import { contractFiles } from './contract-files.js';

/** `npm run contract`: writes the documents of the contract. */
for (const [path, text] of Object.entries(await contractFiles())) {
  writeFileSync(path, text);
  console.log(`${path}: ${text.length} characters`);
}
