import { Logger } from '@nestjs/common';
import { logLevel, type logCreator } from 'kafkajs';

/**
 * kafkajs's own log lines, through Nest's logger. An error answer of a broker to a single request is part of normal life (a
 * coordinator that still loads, a topic that is being made): kafkajs tries again, and what it gives up on is thrown.
 */
export const kafkaLogCreator: logCreator = () => {
  const logger = new Logger('kafkajs');
  return ({ namespace, level, log }) => {
    const text = [`[${namespace}] ${log.message}`, log['broker'], log['error']].filter((part) => part !== undefined).join(': ');
    if (level > logLevel.WARN || log.message.startsWith('Response ')) logger.debug(text);
    else if (level === logLevel.WARN) logger.warn(text);
    else logger.error(text);
  };
};
