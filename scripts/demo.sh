#!/usr/bin/env bash
# The whole way of a structure on this machine: the CIF files of workflows/demo/ become tables and figures in demo/.
# Every calculation is a real one, done by the rehearsal engine hibana-vasp under custodian. Started again, it goes on
# where it stopped; `make clean` begins anew.
#
#   scripts/demo.sh [CAMPAIGN]    a file of workflows/ without .yaml: demo (the default) or bulk
set -euo pipefail
cd "$(dirname "$0")/.."

campaign=${1:-demo}
case $campaign in
  demo) tables="electronic" minutes=ten ;;
  bulk) tables="electronic dielectric optical_absorption phonon_gamma sites" minutes="twenty to thirty" ;;
  *) echo "demo.sh: there is no demonstration of the campaign $campaign; there are demo and bulk" >&2; exit 2 ;;
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

say "lpad add workflows/$campaign.yaml"
lpad -l "$launchpad" add "workflows/$campaign.yaml"

say "rlaunch rapidfire: relaxation and all that follows, for every structure (about $minutes minutes)"
(cd "$out/launches" && rlaunch -l "$launchpad" -w "$OLDPWD/fw_config/local/my_fworker.yaml" rapidfire)

say "what FireWorks says"
lpad -l "$launchpad" get_wflows -d less
lpad -l "$launchpad" report

say "exporting the tables and drawing the figures"
for table in $tables; do
  hibana export "$table" --output "$out/tables/$table" --protocol pbesol-demo
done
hibana figures --output "$out/figures" --protocol pbesol-demo

say "summary"
hibana summary --protocol pbesol-demo
say "tables are in $out/tables, figures in $out/figures; to look at the documents:
    source ${HIBANA_VENV:-.venv}/bin/activate
    hibana store up --directory $out/store --launchpad $launchpad
    HIBANA_LAUNCHPAD=$launchpad hibana query '{\"formula\": \"MgO\"}' --collection electronic"
