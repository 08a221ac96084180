/** <script type="module" src="comrec/auto.js">: all <img data-comrec> of the page. */

import { enhance } from './index.js'

enhance()
