import './lib/locale';
import 'uplot/dist/uPlot.min.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/tabs.css';
import './styles/code.css';
import './styles/design.css';
import './styles/atlas.css';
import { render } from 'preact';
import { App } from './app';
import { startStudio } from './lib/studio';

startStudio();
document.body.replaceChildren();
render(<App />, document.body);
