/** What a registry tells: events to its listeners, and notices for the log. */
import type { Report } from '../../actors/messages.js';
import type { MissionState } from '../contract/index.js';

/** The registry's events: name and payload. */
export interface RegistryEvents {
  'executor:registered': [{ executorId: string; name: string }];
  'executor:deregistered': [{ executorId: string; reason: string }];
  'mission:assigned': [{ missionId: string; executorId: string }];
  'mission:state_change': [{ missionId: string; executorId: string; state: MissionState; prevState: MissionState }];
  'mission:forgotten': [{ missionId: string; executorId: string }];
}

export type RegistryEvent = {
  [Name in keyof RegistryEvents]: readonly [name: Name, payload: RegistryEvents[Name][0]];
}[keyof RegistryEvents];

/** What people may want to know and no program waits for: for the log. */
export type Notice = Extract<Report, { type: 'late' | 'warning' | 'protocol' | 'dropped' | 'lost' }>;
