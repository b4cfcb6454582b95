#!/usr/bin/env bash
# The whole way of a structure on this machine: the CIF files of workflows/demo/ become tables and figures in demo/.
# Every calculation is a real one, done by the rehearsal engine hibana-vasp under custodian. Started again, it goes on
# where it stopped; `make clean` begins anew.
#
#   scripts/demo.sh [CAMPAIGN]    demo (the default), bulk, or vacancy: the oxygen vacancy of MgO in 64 atoms
#
#   HIBANA_DEMO_DIR        where everything goes; default: demo
#   HIBANA_DEMO_WORKERS    launchers of the vacancy demonstration; default: 2, one a core
set -euo pipefail
cd "$(dirname "$0")/.."

campaign=${1:-demo}
protocol=pbesol-demo workers=${HIBANA_DEMO_WORKERS:-2}
case $campaign in
  demo) file=demo tables="electronic" minutes=ten ;;
  bulk) file=bulk tables="electronic dielectric optical_absorption phonon_gamma sites" minutes="twenty to thirty" ;;
  vacancy) file=demo_vacancy tables="oxygen_vacancy" minutes="ten to thirty" protocol=vacancy-demo ;;
  *) echo "demo.sh: there is no demonstration of the campaign $campaign; there are demo, bulk and vacancy" >&2; exit 2 ;;
esac
out=${HIBANA_DEMO_DIR:-demo}
say() { printf '\n\033[1m[demo %s]\033[0m %s\n' "$(date +%H:%M:%S)" "$*"; }

mkdir -p "$out/launches"
out=$(cd "$out" && pwd)
launchpad=$out/my_launchpad.yaml
export PMG_VASP_PSP_DIR=$out/potcars HIBANA_LAUNCHPAD=$launchpad

say "starting the embedded MongoDB-compatible store in $out/store"
hibana store up --directory "$out/store" --launchpad "$launchpad"
trap 'hibana store down --directory "$out/store"' EXIT

if [ ! -d "$PMG_VASP_PSP_DIR" ]; then
  say "making synthetic POTCARs from the rehearsal engine's PAW data sets"
  hibana-vasp --make-potcars "$PMG_VASP_PSP_DIR" --elements Mg,O,Zn
fi

say "lpad add workflows/$file.yaml"
lpad -l "$launchpad" add "workflows/$file.yaml"

if [ "$campaign" = vacancy ]; then
  say "hibana run: the crystal, then its supercells on $workers cores (about $minutes minutes)"
  hibana run --workers "$workers" --fworker fw_config/local/my_fworker.yaml --directory "$out/launches"
else
  say "rlaunch rapidfire: relaxation and all that follows, for every structure (about $minutes minutes)"
  (cd "$out/launches" && rlaunch -l "$launchpad" -w "$OLDPWD/fw_config/local/my_fworker.yaml" rapidfire)
fi

say "what FireWorks says"
lpad -l "$launchpad" get_wflows -d less
lpad -l "$launchpad" report

say "exporting the tables and drawing the figures"
for table in $tables; do
  hibana export "$table" --output "$out/tables/$table" --protocol "$protocol"
done
hibana figures --output "$out/figures" --protocol "$protocol"

say "summary"
hibana summary --protocol "$protocol"
if [ "$campaign" = vacancy ]; then
  say "hibana vacancies: formation energies, every term"
  hibana vacancies MgO --protocol "$protocol"
fi
say "tables are in $out/tables, figures in $out/figures; to look at the documents:
    source ${HIBANA_VENV:-.venv}/bin/activate
    hibana store up --directory $out/store --launchpad $launchpad
    HIBANA_LAUNCHPAD=$launchpad hibana query '{\"formula\": \"MgO\"}' --collection electronic"
