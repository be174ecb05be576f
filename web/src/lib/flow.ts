import type { FlowLayer } from './shapes';

/** Units instead of maps. */
export const isList = (layer: FlowLayer) => layer.rows === 1 && layer.maps === 1;
