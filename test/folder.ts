import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folders: string[] = [];
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/**
 * An empty folder for a store. It is there until this process ends, and with it the servers in it: their lock goes by the
 * folder's inode, which the next folder that anybody makes could have.
 */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'callboard-test-'));
  folders.push(folder);
  return folder;
}
