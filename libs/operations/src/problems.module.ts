import { Controller, Get, Module, Param } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { PROBLEM_TYPES, isProblemName, type ProblemName } from './problem-types.js';
import { ProblemException } from './problem.js';
import { Public } from './route-access.js';

interface ProblemDescription {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly meaning: string;
  readonly example: object;
}

/** What the `type` of a problem leads to. */
@ApiExcludeController()
@Public()
@Controller('problems')
class ProblemsController {
  @Get()
  list(): ProblemDescription[] {
    return (Object.keys(PROBLEM_TYPES) as ProblemName[]).map(describe);
  }

  @Get(':name')
  read(@Param('name') name: string): ProblemDescription {
    if (!isProblemName(name)) throw new ProblemException('not-found', 'There is no kind of problem of this name; /problems lists all');
    return describe(name);
  }
}

/** `/problems`. */
@Module({ controllers: [ProblemsController] })
export class ProblemsModule {}

function describe(name: ProblemName): ProblemDescription {
  return { type: `/problems/${name}`, ...PROBLEM_TYPES[name] };
}
