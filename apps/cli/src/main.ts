import 'reflect-metadata';
import '@nestjs/core';

// nest-commander requires @nestjs/core, an ES module. Node 20.19.0 refuses to require one that is being loaded, so it is loaded before.
const { runCommandLine } = await import('./command-line.js');
await runCommandLine();
